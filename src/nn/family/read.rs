//! Reads the steps of a model file: every entry is a word (`"relu"`) or a table with exactly one leading key.

use toml::Spanned;
use toml::de::DeValue;

use super::expression::{Expression, KEYWORDS, Value};
use super::parser;
use super::source::{Source, Table};
use super::step::{Action, Block, Piece, Step, Template, Term};
use crate::error::Result;

/// The leading keys; `relu`, `flatten` and `global_avg_pool` are written as bare words instead.
const LEADING: [&str; 18] = [
    "conv",
    "conv_transpose",
    "batch_norm",
    "linear",
    "dropout",
    "max_pool",
    "avg_pool",
    "adaptive_avg_pool",
    "slice",
    "channel_shuffle",
    "option_a",
    "add",
    "concat",
    "repeat",
    "block",
    "mark",
    "from",
    "tap",
];

/// Layers that need nothing said.
const WORDS: [&str; 3] = ["relu", "flatten", "global_avg_pool"];

/// Names that always have a meaning of their own.
pub const BUILT_IN: [&str; 6] = ["classes", "image_channels", "image_height", "image_width", "in", "channels"];

type Item<'a> = &'a Spanned<DeValue<'a>>;

/// Reads one block.
pub fn block<'a>(source: &'a Source, name: &str, value: Item<'a>) -> Result<Block> {
    let what = format!("block `{name}`");
    let mut table = source.table(value, &what)?;
    let mut takes = Vec::new();
    if let Some(list) = table.take("takes") {
        for argument in source.array(list, "`takes`")? {
            takes.push(identifier(source, argument, "an argument's name")?);
        }
    }
    let layers = steps(source, table.require("layers", &what)?)?;
    table.reject_rest(&what)?;
    Ok(Block { name: name.to_string(), takes, layers })
}

/// Reads a list of steps.
pub fn steps<'a>(source: &'a Source, value: Item<'a>) -> Result<Vec<Step>> {
    source.array(value, "a list of layers")?.into_iter().map(|item| step(source, item)).collect()
}

fn step<'a>(source: &'a Source, item: Item<'a>) -> Result<Step> {
    let span = item.span();
    if let Some(word) = item.get_ref().as_str() {
        let action = match word {
            "relu" => Action::Relu,
            "flatten" => Action::Flatten,
            "global_avg_pool" => Action::GlobalAvgPool,
            _ if LEADING.contains(&word) => {
                let message = format!("layer `{word}` needs a table, such as {{ {word} = ... }}");
                return Err(source.error(&span, message, "more must be said"));
            }
            _ => {
                let error = source.error(&span, format!("no layer is called `{word}`"), "unknown layer");
                return Err(error.suggest(word, LEADING.into_iter().chain(WORDS)));
            }
        };
        return Ok(Step { span, when: None, action });
    }
    let mut table = source.table(item, "a layer")?;
    let when = table.take("when").map(|value| term(source, value, "`when`")).transpose()?;
    let leading: Vec<&str> = LEADING.into_iter().filter(|key| table.has(key)).collect();
    let (what, action) = match leading[..] {
        [leading] => (format!("layer `{leading}`"), action(source, leading, &mut table)?),
        // `repeat` reads its own `layers`; alone, `layers` is a group.
        [] if table.has("layers") => ("a group of layers".to_string(), group(source, &mut table)?),
        [] => {
            let unknown = table.drain().into_iter().find(|entry| entry.key != "name");
            let Some(entry) = unknown else {
                return Err(source.error(&span, "an empty layer", "expected a layer, such as { conv = ... }"));
            };
            let word = WORDS.contains(&entry.key.as_str());
            let error = source.error(&entry.key_span, format!("no layer is called `{}`", entry.key), "unknown layer");
            return Err(match word {
                true => error.help(format!("`{0}` takes no keys: write \"{0}\"", entry.key)),
                false => error.suggest(&entry.key, LEADING.into_iter().chain(WORDS).chain(["layers"])),
            });
        }
        [first, second, ..] => {
            let message = format!("one layer cannot be both `{first}` and `{second}`");
            return Err(source.error(&span, message, "two layers in one"));
        }
    };
    table.reject_rest(&what)?;
    Ok(Step { span, when, action })
}

fn action<'a>(source: &'a Source, leading: &'static str, table: &mut Table<'a>) -> Result<Action> {
    let what = format!("layer `{leading}`");
    let value = table.require(leading, &what)?;
    let optional = |table: &mut Table<'a>, key: &'static str| -> Result<Option<Term>> {
        table.take(key).map(|value| term(source, value, &format!("`{key}`"))).transpose()
    };
    let required = |table: &mut Table<'a>, key: &'static str| -> Result<Term> {
        term(source, table.require(key, &what)?, &format!("`{key}`"))
    };
    let number = |table: &mut Table<'a>, key: &'static str, default: f64| -> Result<f64> {
        table.take(key).map_or(Ok(default), |value| source.number(value, &format!("`{key}`")))
    };
    let main = |what: &str| term(source, value, what);
    Ok(match leading {
        "conv" => Action::Conv {
            name: template(source, value, "a layer's name")?,
            out: required(table, "out")?,
            kernel: required(table, "kernel")?,
            stride: optional(table, "stride")?,
            padding: optional(table, "padding")?,
            dilation: optional(table, "dilation")?,
            groups: optional(table, "groups")?,
            bias: optional(table, "bias")?,
        },
        "conv_transpose" => Action::ConvTranspose {
            name: template(source, value, "a layer's name")?,
            out: required(table, "out")?,
            kernel: required(table, "kernel")?,
            stride: optional(table, "stride")?,
            padding: optional(table, "padding")?,
            bias: optional(table, "bias")?,
        },
        "batch_norm" => Action::BatchNorm {
            name: template(source, value, "a layer's name")?,
            eps: number(table, "eps", 1e-5)?,
            momentum: number(table, "momentum", 0.1)?,
        },
        "linear" => Action::Linear {
            name: template(source, value, "a layer's name")?,
            out: required(table, "out")?,
            bias: optional(table, "bias")?,
        },
        "dropout" => Action::Dropout { probability: source.number(value, "a probability")? },
        "max_pool" | "avg_pool" => Action::Pool {
            mean: leading == "avg_pool",
            kernel: main("a window's side")?,
            stride: optional(table, "stride")?,
            padding: optional(table, "padding")?,
            count_include_pad: match leading {
                "avg_pool" => optional(table, "count_include_pad")?,
                _ => None,
            },
        },
        "adaptive_avg_pool" => Action::AdaptiveAvgPool { out: main("the output's side")? },
        "slice" => Action::Slice { start: main("the first channel")?, len: required(table, "len")? },
        "channel_shuffle" => Action::ChannelShuffle { groups: main("the groups")? },
        "option_a" => Action::OptionA { out: main("the output channels")?, stride: required(table, "stride")? },
        "add" | "concat" => {
            let branches = source.array(value, "the branches")?;
            let branches = branches.into_iter().map(|branch| steps(source, branch)).collect::<Result<Vec<_>>>()?;
            if branches.len() < 2 {
                let message = format!("{what} needs at least two branches, each a list of layers");
                return Err(source.error(&value.span(), message, "too few branches"));
            }
            Action::Join { concat: leading == "concat", branches }
        }
        "repeat" => Action::Repeat {
            count: main("the number of repetitions")?,
            counter: table.take("as").map(|value| identifier(source, value, "a counter's name")).transpose()?,
            layers: steps(source, table.require("layers", &what)?)?,
        },
        "block" => block_use(source, value, table)?,
        "mark" => Action::Mark(identifier(source, value, "a mark's name")?),
        "from" => Action::From(identifier(source, value, "a mark's name")?),
        "tap" => Action::Tap(template(source, value, "a tap's name")?),
        _ => unreachable!("`{leading}` is one of LEADING"),
    })
}

fn group<'a>(source: &'a Source, table: &mut Table<'a>) -> Result<Action> {
    let name = table.take("name").map(|value| template(source, value, "a name")).transpose()?;
    Ok(Action::Layers { name, layers: steps(source, table.require("layers", "a group")?)? })
}

fn block_use<'a>(source: &'a Source, value: Item<'a>, table: &mut Table<'a>) -> Result<Action> {
    let block = template(source, value, "a block's name")?;
    let name = table.take("name").map(|value| template(source, value, "a name")).transpose()?;
    let mut arguments = Vec::new();
    for entry in table.drain() {
        let value = term(source, entry.value, &format!("argument `{}`", entry.key))?;
        arguments.push((entry.key, entry.key_span, value));
    }
    Ok(Action::Block { block, name, arguments })
}

/// A whole number, a truth value, or an expression as a string.
fn term(source: &Source, value: Item<'_>, what: &str) -> Result<Term> {
    let span = value.span();
    let expression = match value.get_ref() {
        DeValue::String(text) => expression(source, value, text, 0)?,
        DeValue::Integer(_) | DeValue::Boolean(_) => Expression::Literal(literal(source, value, what)?),
        _ => return Err(source.mistyped(value, what, "a whole number, true or false, or an expression")),
    };
    Ok(Term { expression, span })
}

/// The expression `text`, which begins `offset` bytes into the string `value`.
fn expression(source: &Source, value: Item<'_>, text: &str, offset: usize) -> Result<Expression> {
    parser::parse(text).map_err(|fault| {
        // Without escapes the string stands in the file as it is, one quote in, and the fault can be pointed at.
        let span = value.span();
        let whole = value.get_ref().as_str().unwrap_or_default();
        let plain = source.text.get(span.start + 1..).is_some_and(|rest| rest.starts_with(whole));
        let start = span.start + 1 + offset;
        let place = if plain { start + fault.range.start..start + fault.range.end } else { span };
        source.error(&place, format!("in the expression `{text}`: {}", fault.message), "here")
    })
}

fn template(source: &Source, value: Item<'_>, what: &str) -> Result<Template> {
    let text = source.string(value, what)?;
    let mut pieces = Vec::new();
    let mut start = 0;
    while let Some(open) = text[start..].find('{').map(|at| start + at) {
        let Some(close) = text[open..].find('}').map(|at| open + at) else {
            return Err(source.error(&value.span(), format!("`{{` without `}}` in `{text}`"), "unclosed"));
        };
        pieces.push(Piece::Text(text[start..open].to_string()));
        pieces.push(Piece::Hole(expression(source, value, &text[open + 1..close], open + 1)?));
        start = close + 1;
    }
    pieces.push(Piece::Text(text[start..].to_string()));
    Ok(Template { pieces, span: value.span() })
}

/// A parameter's or argument's value: whole numbers, truth values, words, and lists of them.
pub fn literal(source: &Source, value: Item<'_>, what: &str) -> Result<Value> {
    Ok(match value.get_ref() {
        DeValue::Integer(integer) => {
            let digits = integer.as_str().replace('_', "");
            let number = i64::from_str_radix(&digits, integer.radix());
            Value::Integer(number.map_err(|_| source.mistyped(value, what, "a number of at most 63 bits"))?)
        }
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| literal(source, item, what)).collect::<Result<_>>()?)
        }
        _ => return Err(source.mistyped(value, what, "a whole number, true or false, a word, or a list of these")),
    })
}

fn identifier(source: &Source, value: Item<'_>, what: &str) -> Result<String> {
    let text = source.string(value, what)?;
    check_identifier(source, &value.span(), text)?;
    Ok(text.to_string())
}

/// An error unless `text` can be used as a name in expressions.
pub fn check_identifier(source: &Source, span: &std::ops::Range<usize>, text: &str) -> Result<()> {
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !starts || !text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_') {
        let message = format!("`{text}` is not a name: letters, digits and `_`, not starting with a digit");
        return Err(source.error(span, message, "not a name"));
    }
    let taken =
        BUILT_IN.contains(&text) || KEYWORDS.contains(&text) || ["len", "block", "name", "when"].contains(&text);
    if taken {
        return Err(source.error(span, format!("`{text}` has a meaning of its own"), "choose another name"));
    }
    Ok(())
}
