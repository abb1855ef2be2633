//! Operations made ready: variables are places, statements numbers, keys ranges. Evaluates, and talks to nobody.

use super::dice::Dice;
use super::keys::Keys;
use super::value::{Fault, Value, call};
use crate::plan::traffic::{Expression, Function, Instruction, Operation};
use crate::sql::{Kind, TransactionControl};

/// All operations, and every statement of them, once for all connections.
#[derive(Debug)]
pub struct Programs {
    /// In the order of the plan.
    pub operations: Vec<Program>,
    /// Texts of statements, by their number.
    pub statements: Vec<Text>,
    /// Each operation's share of all weights with those before it.
    upto: Vec<f64>,
}

/// A statement's text.
#[derive(Debug)]
pub struct Text {
    /// What is prepared.
    pub sql: String,
    /// Its operation.
    pub operation: usize,
    /// Its line in the file.
    pub line: usize,
    /// What it does to a transaction.
    pub control: Option<TransactionControl>,
    /// True when it cannot be in a transaction.
    pub alone: bool,
}

impl Text {
    /// True when it opens or ends a transaction.
    pub fn ends_transaction(&self) -> bool {
        use TransactionControl::{Begin, Commit, Prepare, Rollback};
        matches!(
            self.control,
            Some(Begin | Commit { .. } | Rollback { .. } | Prepare)
        )
    }
}

/// An operation.
#[derive(Debug)]
pub struct Program {
    /// What it does, in order.
    pub steps: Vec<Step>,
    /// Names of its variables, by their places.
    variables: Vec<String>,
    /// Whether it may leave a transaction open.
    pub transaction: Leaves,
}

/// What an operation that breaks off leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// Nothing: each statement is by itself.
    Nothing,
    /// Maybe an open transaction.
    Transaction,
}

/// A step of an operation.
#[derive(Debug)]
pub enum Step {
    /// A variable gets a value.
    Set(usize, Term),
    /// A statement, with the places of its parameters.
    Statement(usize, Vec<usize>),
    /// A pause in microseconds.
    Sleep(Term),
}

/// An expression.
#[derive(Debug)]
pub enum Term {
    /// Itself.
    Value(Value),
    /// Of the variable with this place.
    Variable(usize),
    /// A key.
    Key(Keys),
    /// One of these; at least one.
    OneOf(Vec<Term>),
    /// A function.
    Call(Function, Vec<Term>),
}

/// What the variables of one request hold; its buffers are used again by the next.
#[derive(Debug, Default)]
pub struct Variables(Vec<Option<Value>>);

impl Variables {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Puts a value in.
    pub fn set(&mut self, place: usize, value: Value) {
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        self.0[place] = Some(value);
    }

    /// What is in it.
    ///
    /// # Errors
    /// Nothing is.
    pub fn get(&self, place: usize, program: &Program) -> Result<&Value, Fault> {
        let value = self.0.get(place).and_then(Option::as_ref);
        value.ok_or_else(|| Fault::NoValue(program.variables[place].as_str().into()))
    }
}

impl Programs {
    /// Makes them ready; `keys` are those of all key expressions, in order of appearance.
    pub fn new(operations: &[Operation], keys: impl IntoIterator<Item = Keys>) -> Self {
        let mut keys = keys.into_iter();
        let mut statements = Vec::new();
        let made = operations.iter().enumerate().map(|(index, operation)| {
            let mut names = Names::default();
            let steps = operation
                .program
                .iter()
                .map(|instruction| match instruction {
                    Instruction::Set { variable, value } => {
                        // What it is worked out from comes first: its own name may be new.
                        let term = term(value, &mut names, &mut keys);
                        Step::Set(names.place(variable), term)
                    }
                    Instruction::Sql {
                        text,
                        parameters,
                        line,
                    } => {
                        let kind = Kind::of(text);
                        statements.push(Text {
                            sql: text.clone(),
                            operation: index,
                            line: *line,
                            control: kind.transaction_control(),
                            alone: kind.cannot_run_in_transaction(),
                        });
                        let places = parameters.iter().map(|name| names.place(name)).collect();
                        Step::Statement(statements.len() - 1, places)
                    }
                    Instruction::Sleep(pause) => Step::Sleep(term(pause, &mut names, &mut keys)),
                });
            let steps = steps.collect();
            let opens = |text: &Text| text.operation == index && text.control.is_some();
            Program {
                steps,
                variables: names.0,
                transaction: if statements.iter().any(opens) {
                    Leaves::Transaction
                } else {
                    Leaves::Nothing
                },
            }
        });
        let made = made.collect();
        let total: f64 = operations.iter().map(|operation| operation.weight).sum();
        let upto = operations.iter().scan(0.0, |sum, operation| {
            *sum += operation.weight;
            Some(*sum / total)
        });
        Self {
            operations: made,
            statements,
            upto: upto.collect(),
        }
    }

    /// Which operation a request is.
    pub fn choose(&self, dice: &mut Dice) -> usize {
        let at = dice.unit();
        let place = self.upto.partition_point(|upto| *upto <= at);
        place.min(self.operations.len() - 1)
    }
}

impl Term {
    /// Its value.
    ///
    /// # Errors
    /// It has none.
    pub fn value(
        &self,
        program: &Program,
        variables: &Variables,
        dice: &mut Dice,
    ) -> Result<Value, Fault> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Variable(place) => variables.get(*place, program).cloned(),
            Self::Key(keys) => Ok(Value::Integer(keys.draw(dice))),
            Self::OneOf(choices) => {
                let place = dice.below(choices.len() as u64);
                choices[place as usize].value(program, variables, dice)
            }
            Self::Call(function, arguments) => {
                let values: Result<Vec<Value>, Fault> = arguments
                    .iter()
                    .map(|argument| argument.value(program, variables, dice))
                    .collect();
                call(*function, &values?, dice)
            }
        }
    }
}

#[derive(Debug, Default)]
struct Names(Vec<String>);

impl Names {
    fn place(&mut self, name: &str) -> usize {
        let known = self.0.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        })
    }
}

fn term(expression: &Expression, names: &mut Names, keys: &mut dyn Iterator<Item = Keys>) -> Term {
    match expression {
        Expression::Integer(number) => Term::Value(Value::Integer(*number)),
        Expression::Double(number) => Term::Value(Value::Double(*number)),
        Expression::Text(text) => Term::Value(Value::Text(text.as_str().into())),
        Expression::Variable(name) => Term::Variable(names.place(name)),
        Expression::Key { distribution, .. } => {
            // As many were asked for as there are.
            let any = || Keys::new(0, 0, *distribution);
            Term::Key(keys.next().unwrap_or_else(any))
        }
        Expression::OneOf(choices) => Term::OneOf(terms(choices, names, keys)),
        Expression::Call {
            function,
            arguments,
        } => Term::Call(*function, terms(arguments, names, keys)),
    }
}

fn terms(
    expressions: &[Expression],
    names: &mut Names,
    keys: &mut dyn Iterator<Item = Keys>,
) -> Vec<Term> {
    let mut terms = Vec::with_capacity(expressions.len());
    for expression in expressions {
        terms.push(term(expression, names, keys));
    }
    terms
}

/// All key expressions of the operations, in order of appearance, each with its operation's place.
pub fn key_expressions(operations: &[Operation]) -> Vec<(usize, &Expression)> {
    fn collect<'a>(
        index: usize,
        expression: &'a Expression,
        into: &mut Vec<(usize, &'a Expression)>,
    ) {
        match expression {
            Expression::Key { .. } => into.push((index, expression)),
            Expression::Call { arguments, .. } | Expression::OneOf(arguments) => {
                for argument in arguments {
                    collect(index, argument, into);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        for instruction in &operation.program {
            match instruction {
                Instruction::Set { value, .. } => collect(index, value, &mut found),
                Instruction::Sleep(pause) => collect(index, pause, &mut found),
                Instruction::Sql { .. } => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::traffic::Distribution;

    fn operation(name: &str, weight: f64, program: Vec<Instruction>) -> Operation {
        Operation {
            name: name.to_owned(),
            weight,
            origin: "traffic.toml".to_owned(),
            program,
        }
    }

    fn set(variable: &str, value: Expression) -> Instruction {
        Instruction::Set {
            variable: variable.to_owned(),
            value,
        }
    }

    fn sql(text: &str, parameters: &[&str]) -> Instruction {
        Instruction::Sql {
            text: text.to_owned(),
            parameters: parameters.iter().map(|name| (*name).to_owned()).collect(),
            line: 1,
        }
    }

    #[test]
    fn operations_come_as_often_as_their_weights_say() {
        let operations = [
            operation("often", 3.0, vec![]),
            operation("seldom", 1.0, vec![]),
        ];
        let programs = Programs::new(&operations, []);
        let chosen = |number| programs.choose(&mut Dice::of(5, number));
        let often = (0..10_000).filter(|number| chosen(*number) == 0).count();
        assert!(often.abs_diff(7_500) < 300, "{often}");
    }

    #[test]
    fn variables_are_worked_out_in_order() {
        let double = Expression::Call {
            function: Function::Multiply,
            arguments: vec![Expression::Variable("a".into()), Expression::Integer(2)],
        };
        let key = Expression::Key {
            relation: "items".into(),
            column: "id".into(),
            distribution: Distribution::Uniform,
        };
        let operations = [operation(
            "read",
            1.0,
            vec![
                set("a", key),
                set("b", double.clone()),
                set("c", Expression::OneOf(vec![Expression::Integer(7)])),
                sql("BEGIN", &[]),
                sql("SELECT $1, $2, $3", &["b", "a", "c"]),
            ],
        )];
        assert_eq!(key_expressions(&operations).len(), 1);
        let keys = Keys::new(21, 21, Distribution::Uniform);
        let programs = Programs::new(&operations, [keys]);
        let program = &programs.operations[0];
        assert_eq!(program.transaction, Leaves::Transaction);
        let mut variables = Variables::default();
        let mut dice = Dice::of(0, 0);
        for step in &program.steps {
            if let Step::Set(place, term) = step {
                let value = term.value(program, &variables, &mut dice).expect("a value");
                variables.set(*place, value);
            }
        }
        let Step::Statement(1, places) = &program.steps[4] else {
            panic!("{program:?}")
        };
        let values: Vec<String> = places
            .iter()
            .map(|place| variables.get(*place, program).expect("set").to_string())
            .collect();
        assert_eq!(values, ["42", "21", "7"]);
        // Before anything is set there is an error with the variable's name.
        let early = Programs::new(&[operation("early", 1.0, vec![set("b", double)])], []);
        let Step::Set(_, term) = &early.operations[0].steps[0] else {
            panic!("{early:?}")
        };
        let value = term.value(&early.operations[0], &Variables::default(), &mut dice);
        assert_eq!(value, Err(Fault::NoValue("a".into())));
        assert_eq!(early.operations[0].transaction, Leaves::Nothing);
    }
}
