-- What the incident found in place.
CREATE FUNCTION listings_touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER listings_touched BEFORE UPDATE ON listings_listing FOR EACH ROW EXECUTE FUNCTION listings_touch();
