//! A model as an ONNX graph: one input of shape (N, 1) for each column, outputs of (N, 1) or (N, K), all in double precision.
//!
//! A number that is missing is NaN and gets the column's fill, where there is one; a text or number that is no level gets the
//! number of the row behind the levels in the table of what levels add. Where nothing fills the gap that row holds NaN, so that
//! the probability is NaN and the label empty.

use super::protobuf::Message;
use super::scoring::{Adds, Column, Keys, Kind, Link, Scoring};
use crate::error::Result;
use crate::model::LABEL;

/// Version of the format, of the operators (Softmax, reductions and comparisons in f64), and of those of ai.onnx.ml (LabelEncoder
/// in f64).
const IR_VERSION: i64 = 8;
const OPSET: i64 = 18;
const ML_DOMAIN: &str = "ai.onnx.ml";
const ML_OPSET: i64 = 4;

/// What a name of the graph that is no input or output begins with.
const INNER: &str = "gpulogit/";

/// ONNX's numbers of the types.
const INT64: i64 = 7;
const STRING: i64 = 8;
const DOUBLE: i64 = 11;

/// The file.
///
/// # Errors
/// As [`Scoring::check_keys`] and [`Scoring::check_names`].
pub(super) fn write(scoring: &Scoring<'_>) -> Result<Vec<u8>> {
    let probabilities = if scoring.link == Link::Logistic { scoring.outputs[0].as_str() } else { "probabilities" };
    scoring.check_keys("ONNX", false)?;
    scoring.check_names("ONNX", &[probabilities, LABEL])?;
    let mut graph = Graph::default();
    graph.axis = graph.constant("axis", ints(&[1], &[1]));
    let predictors = graph.predictors(scoring);
    let [values, label] = graph.predictions(scoring, &predictors);
    graph.output(probabilities, &values, DOUBLE, scoring.probabilities().len());
    graph.output(LABEL, &label, STRING, 1);
    let opset = |domain: &str, version| Message::default().bytes(1, domain).int(2, version);
    let graph = graph.message.bytes(2, "gpulogit");
    let model = Message::default()
        .int(1, IR_VERSION)
        .bytes(2, "gpulogit")
        .bytes(3, scoring.version)
        .message(7, graph)
        .message(8, opset("", OPSET))
        .message(8, opset(ML_DOMAIN, ML_OPSET));
    Ok(model.into_bytes())
}

/// A GraphProto under way.
#[derive(Default)]
struct Graph {
    message: Message,
    /// Names given so far.
    names: usize,
    /// The constant that says along the columns.
    axis: String,
}

/// An attribute of a node.
enum Attribute<'a> {
    Int(i64),
    Ints(Vec<i64>),
    Strings(&'a [String]),
    Tensor(Message),
}

impl Graph {
    /// The linear predictors (N, K): the sum of what numbers and levels add, and of the intercepts.
    fn predictors(&mut self, scoring: &Scoring<'_>) -> String {
        let k = scoring.intercepts.len();
        let mut terms = vec![self.constant("intercepts", doubles(&[1, k], scoring.intercepts.iter().copied()))];
        let (mut names, mut slopes, mut fills) = (Vec::new(), Vec::new(), Vec::new());
        for Column { name, kind } in &scoring.columns {
            match kind {
                Kind::Number { coefficients, fill, .. } => {
                    self.input(name, DOUBLE);
                    names.push(*name);
                    slopes.extend_from_slice(coefficients);
                    fills.push(fill.unwrap_or(f64::NAN));
                }
                Kind::Levels { keys: Keys::Numbers(numbers), adds, .. } => {
                    self.input(name, DOUBLE);
                    terms.push(self.number_levels(name, numbers, adds));
                }
                Kind::Levels { levels, adds, .. } => {
                    self.input(name, STRING);
                    terms.push(self.text_levels(name, levels, adds));
                }
                Kind::Hashed { .. } => unreachable!("refused above"),
            }
        }
        if !names.is_empty() {
            terms.extend(self.numbers(&names, &slopes, &fills));
        }
        self.node("Sum", &terms)
    }

    /// What the numbers of columns add, (N, K), and a term (N, 1) that is 0, or NaN where one of them is infinite.
    fn numbers(&mut self, names: &[&str], slopes: &[f64], fills: &[f64]) -> [String; 2] {
        let p = names.len();
        let mut x = self.node_with("Concat", names, [("axis", Attribute::Int(1))]);
        if fills.iter().any(|fill| !fill.is_nan()) {
            let fills = self.constant("fills", doubles(&[1, p], fills.iter().copied()));
            let missing = self.node("IsNaN", &[&x]);
            x = self.node("Where", &[&missing, &fills, &x]);
        }
        let slopes = self.constant("coefficients", doubles(&[p, slopes.len() / p], slopes.iter().copied()));
        let product = self.node("MatMul", &[&x, &slopes]);
        let zero = self.node("Sub", &[&x, &x]);
        let check = self.node("ReduceSum", &[&zero, &self.axis.clone()]);
        [product, check]
    }

    fn text_levels(&mut self, name: &str, levels: &[String], adds: &Adds) -> String {
        let attributes = [
            ("keys_strings", Attribute::Strings(levels)),
            ("values_int64s", Attribute::Ints((0..levels.len() as i64).collect())),
            ("default_int64", Attribute::Int(levels.len() as i64)),
        ];
        let code = self.node_with("LabelEncoder", &[name], attributes);
        self.adds(&code, adds)
    }

    fn number_levels(&mut self, name: &str, numbers: &[f64], adds: &Adds) -> String {
        let levels = numbers.len();
        let codes = (0..levels).map(|code| code as f64);
        let attributes = [
            ("keys_tensor", Attribute::Tensor(doubles(&[levels], numbers.iter().copied()).bytes(8, "keys"))),
            ("values_tensor", Attribute::Tensor(doubles(&[levels], codes).bytes(8, "values"))),
            ("default_tensor", Attribute::Tensor(doubles(&[1], [levels as f64]).bytes(8, "default"))),
        ];
        let code = self.node_with("LabelEncoder", &[name], attributes);
        let code = self.node_with("Cast", &[&code], [("to", Attribute::Int(INT64))]);
        self.adds(&code, adds)
    }

    /// What the levels of these codes (N, 1) add, (N, K).
    fn adds(&mut self, code: &str, adds: &Adds) -> String {
        let k = adds.of_level[0].len();
        let missing = adds.missing.clone().unwrap_or_else(|| vec![f64::NAN; k]);
        let table = adds.of_level.iter().chain([&missing]).flatten().copied();
        let table = self.constant("adds", doubles(&[adds.of_level.len() + 1, k], table));
        let code = self.node("Squeeze", &[code, &self.axis.clone()]);
        self.node("Gather", &[&table, &code])
    }

    /// Probabilities (N, 1 or K) and labels (N, 1) of these linear predictors.
    fn predictions(&mut self, scoring: &Scoring<'_>, predictors: &str) -> [String; 2] {
        let scores = match scoring.link {
            Link::Ovr => self.log_sigmoid(predictors),
            Link::Logistic | Link::Softmax => predictors.to_string(),
        };
        let (probabilities, class) = if scoring.link == Link::Logistic {
            let probability = self.node("Sigmoid", &[&scores]);
            let half = self.constant("half", doubles(&[], [0.5]));
            let positive = self.node("GreaterOrEqual", &[&probability, &half]);
            (probability, self.node_with("Cast", &[&positive], [("to", Attribute::Int(INT64))]))
        } else {
            let logs = self.node_with("LogSoftmax", &[&scores], [("axis", Attribute::Int(1))]);
            let attributes = [("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(1))];
            (self.node("Exp", &[&logs]), self.node_with("ArgMax", &[&logs], attributes))
        };
        // A row without a prediction gets the label behind the classes.
        let sum = self.node("ReduceSum", &[&probabilities, &self.axis.clone()]);
        let unknown = self.node("IsNaN", &[&sum]);
        let behind = self.constant("none", ints(&[], &[scoring.classes.len() as i64]));
        let class = self.node("Where", &[&unknown, &behind, &class]);
        let labels = scoring.classes.iter().map(String::as_str).chain([""]);
        let labels = tensor(&[scoring.classes.len() + 1], STRING).all(labels, |tensor, label| tensor.bytes(6, label));
        let labels = self.constant("labels", labels);
        let label = self.node("Gather", &[&labels, &class]);
        [probabilities, label]
    }

    /// log σ(a) = min(a, 0) − log(1 + e^−|a|).
    fn log_sigmoid(&mut self, a: &str) -> String {
        let zero = self.constant("zero", doubles(&[], [0.0]));
        let one = self.constant("one", doubles(&[], [1.0]));
        let size = self.node("Abs", &[a]);
        let negative = self.node("Neg", &[&size]);
        let e = self.node("Exp", &[&negative]);
        let sum = self.node("Add", &[&one, &e]);
        let log = self.node("Log", &[&sum]);
        let least = self.node("Min", &[a, &zero]);
        self.node("Sub", &[&least, &log])
    }

    fn input(&mut self, name: &str, kind: i64) {
        self.add(11, value_info(name, kind, 1));
    }

    fn output(&mut self, name: &str, value: &str, kind: i64, width: usize) {
        let identity = Message::default().bytes(1, value).bytes(2, name).bytes(3, name).bytes(4, "Identity");
        self.add(1, identity);
        self.add(12, value_info(name, kind, width));
    }

    /// Adds a constant and returns its name.
    fn constant(&mut self, name: &str, tensor: Message) -> String {
        let name = self.next(name);
        self.add(5, tensor.bytes(8, &name));
        name
    }

    /// Adds a node of one output and returns that one's name.
    fn node(&mut self, operator: &str, inputs: &[impl AsRef<str>]) -> String {
        self.node_with(operator, inputs, [])
    }

    fn node_with<'a>(
        &mut self,
        operator: &str,
        inputs: &[impl AsRef<str>],
        attributes: impl IntoIterator<Item = (&'static str, Attribute<'a>)>,
    ) -> String {
        let output = self.next(operator);
        let mut node = Message::default().all(inputs, |node, input| node.bytes(1, input.as_ref()));
        node = node.bytes(2, &output).bytes(3, &output).bytes(4, operator);
        node = node.all(attributes, |node, (name, value)| node.message(5, value.message(name)));
        if operator == "LabelEncoder" {
            node = node.bytes(7, ML_DOMAIN);
        }
        self.add(1, node);
        output
    }

    fn next(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{INNER}{what}{}", self.names)
    }

    fn add(&mut self, field: u32, message: Message) {
        self.message = std::mem::take(&mut self.message).message(field, message);
    }
}

impl Attribute<'_> {
    /// As an AttributeProto.
    fn message(self, name: &str) -> Message {
        let message = Message::default().bytes(1, name);
        match self {
            Attribute::Int(value) => message.int(3, value).int(20, 2),
            Attribute::Ints(values) => message.all(values, |m, value| m.int(8, value)).int(20, 7),
            Attribute::Strings(values) => message.all(values, |m, value| m.bytes(9, value)).int(20, 8),
            Attribute::Tensor(tensor) => message.message(5, tensor).int(20, 4),
        }
    }
}

/// A TensorProto without values.
fn tensor(shape: &[usize], kind: i64) -> Message {
    Message::default().all(shape, |tensor, size| tensor.int(1, *size as i64)).int(2, kind)
}

fn doubles(shape: &[usize], values: impl IntoIterator<Item = f64>) -> Message {
    tensor(shape, DOUBLE).bytes(9, values.into_iter().flat_map(f64::to_le_bytes).collect::<Vec<u8>>())
}

fn ints(shape: &[usize], values: &[i64]) -> Message {
    tensor(shape, INT64).bytes(9, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// A ValueInfoProto of shape (N, width).
fn value_info(name: &str, kind: i64, width: usize) -> Message {
    let rows = Message::default().bytes(2, "N");
    let shape = Message::default().message(1, rows).message(1, Message::default().int(1, width as i64));
    let tensor = Message::default().int(1, kind).message(2, shape);
    Message::default().bytes(1, name).message(2, Message::default().message(1, tensor))
}
