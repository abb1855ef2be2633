// Below each picture, what the bar under the pointer or the focus says: a title alone is not told on focus.
'use strict';
for (const figure of document.querySelectorAll('figure.time')) {
  const told = document.createElement('p');
  told.className = 'told';
  told.hidden = true;
  told.setAttribute('aria-live', 'polite');
  figure.append(told);
  const tell = (event) => {
    const bar = event.target.closest('a, rect');
    const title = bar && bar.querySelector('title');
    told.hidden = !title;
    if (title) told.textContent = title.textContent;
  };
  const hush = () => { told.hidden = true; };
  figure.addEventListener('mouseover', tell);
  figure.addEventListener('focusin', tell);
  figure.addEventListener('mouseleave', hush);
  figure.addEventListener('focusout', hush);
}
// What is folded away is printed all the same.
addEventListener('beforeprint', () => {
  for (const folded of document.querySelectorAll('details:not([open])')) {
    folded.open = true;
    folded.dataset.folded = '';
  }
});
addEventListener('afterprint', () => {
  for (const folded of document.querySelectorAll('details[data-folded]')) {
    folded.open = false;
    delete folded.dataset.folded;
  }
});
// A link into a folded list opens it.
const open = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = target && target.closest('details');
  if (folded && !folded.open) {
    folded.open = true;
    target.scrollIntoView();
  }
};
addEventListener('hashchange', open);
open();
