//! A model file: parameters, the named models that set them, blocks, and the layers of the net.
//!
//! `models/README.md` describes the language to users. Reading goes source → [`step`] (checked once, by [`read`]) and
//! building goes steps → [`Network`] (by [`expand`], for one model, one image size and one number of classes).

mod expand;
mod expression;
mod parser;
mod read;
mod source;
mod step;

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::initial::{Initialisation, Rule};
use super::network::Network;
use crate::error::Result;
use expression::Value;
use source::{Source, Table};
use step::{Block, Step};

/// A parameter of a family and what it is worth where a model does not say.
#[derive(Debug)]
struct Setting {
    name: String,
    value: Value,
}

/// A named model: the parameters it sets.
#[derive(Debug)]
struct Model {
    name: String,
    settings: Vec<Setting>,
}

/// One model file, read and checked.
#[derive(Debug)]
pub struct Family {
    source: Source,
    about: String,
    parameters: Vec<Setting>,
    models: Vec<Model>,
    init: Initialisation,
    blocks: Vec<Block>,
    layers: Vec<Step>,
    layers_span: Range<usize>,
}

impl Family {
    /// Reads the text of `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let source = Source { file: file.to_string(), text: text.to_string() };
        let document = source.parse()?;
        let mut table = Table::new(&source, document.get_ref(), 0..0);
        let what = "a model file";
        let about = table.take("about");
        let own_parameters = table.take("parameters");
        let init = table.take("init");
        let own_blocks = table.take("blocks");
        // Unknown keys before missing ones: a key that is missing may only be misspelt.
        let (own_models, network) = (table.take("models"), table.take("network"));
        table.reject_rest(what)?;
        let missing = |key: &str| source.error(&(0..0), format!("{what} needs a table `{key}`"), "missing");
        let (own_models, network) =
            (own_models.ok_or_else(|| missing("models"))?, network.ok_or_else(|| missing("network"))?);

        let about = about.map_or(Ok(""), |value| source.string(value, "`about`"))?.trim().to_string();
        let parameters = own_parameters.map_or(Ok(Vec::new()), |value| parameters(&source, value))?;
        let models = models(&source, own_models, &parameters)?;
        let init = init.map_or(Ok(Initialisation::default()), |value| initialisation(&source, value))?;
        let mut blocks = Vec::new();
        if let Some(value) = own_blocks {
            for entry in source.table(value, "`blocks`")?.drain() {
                blocks.push(read::block(&source, &entry.key, entry.value)?);
            }
        }
        let mut network = source.table(network, "`network`")?;
        let layers = network.require("layers", "`network`")?;
        let (layers, layers_span) = (read::steps(&source, layers)?, layers.span());
        network.reject_rest("`network`")?;
        drop(document);
        Ok(Self { source, about, parameters, models, init, blocks, layers, layers_span })
    }

    /// What the file says about itself.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The names of its models, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(|model| model.name.as_str())
    }

    /// Builds model `index` (in the order of [`Family::names`]).
    pub fn build(
        &self,
        index: usize,
        classes: usize,
        in_channels: usize,
        height: usize,
        width: usize,
    ) -> Result<Network> {
        expand::expand(self, &self.models[index], classes, in_channels, height, width)
    }
}

fn parameters<'a>(source: &'a Source, value: &'a Spanned<DeValue<'a>>) -> Result<Vec<Setting>> {
    let read = |entry: source::Entry<'a>| {
        read::check_identifier(source, &entry.key_span, &entry.key)?;
        let value = read::literal(source, entry.value, &format!("parameter `{}`", entry.key))?;
        Ok(Setting { name: entry.key, value })
    };
    source.table(value, "`parameters`")?.drain().into_iter().map(read).collect()
}

fn models<'a>(source: &'a Source, value: &'a Spanned<DeValue<'a>>, parameters: &[Setting]) -> Result<Vec<Model>> {
    let mut models = Vec::new();
    for entry in source.table(value, "`models`")?.drain() {
        let what = format!("model `{}`", entry.key);
        let mut settings = Vec::new();
        for setting in source.table(entry.value, &what)?.drain() {
            let Some(known) = parameters.iter().find(|parameter| parameter.name == setting.key) else {
                let message = format!("{what} sets `{}`, which is none of the file's parameters", setting.key);
                let names = parameters.iter().map(|parameter| parameter.name.as_str());
                return Err(source.error(&setting.key_span, message, "unknown parameter").suggest(&setting.key, names));
            };
            let value = read::literal(source, setting.value, &format!("`{}`", setting.key))?;
            if value.kind() != known.value.kind() {
                let message = format!("`{}` is {}, not {}", setting.key, known.value.kind(), value.kind());
                return Err(source.error(&setting.value.span(), message, "wrong type"));
            }
            settings.push(Setting { name: setting.key, value });
        }
        models.push(Model { name: entry.key, settings });
    }
    if models.is_empty() {
        return Err(source.error(&value.span(), "a model file needs at least one model", "no model here"));
    }
    Ok(models)
}

fn initialisation<'a>(source: &'a Source, value: &'a Spanned<DeValue<'a>>) -> Result<Initialisation> {
    let mut table = source.table(value, "`init`")?;
    let mut rule = |key| table.take(key).map_or(Ok(Rule::UniformFanIn), |value| rule(source, value, key));
    let init = Initialisation {
        conv_weight: rule("conv_weight")?,
        conv_bias: rule("conv_bias")?,
        linear_weight: rule("linear_weight")?,
        linear_bias: rule("linear_bias")?,
        ..Initialisation::default()
    };
    table.reject_rest("`init`")?;
    Ok(init)
}

fn rule<'a>(source: &'a Source, value: &'a Spanned<DeValue<'a>>, key: &str) -> Result<Rule> {
    const RULES: [(&str, Rule); 5] = [
        ("kaiming_normal_fan_out", Rule::KaimingNormalFanOut),
        ("kaiming_normal_fan_in", Rule::KaimingNormalFanIn),
        ("uniform_fan_in", Rule::UniformFanIn),
        ("zeros", Rule::Zeros),
        ("ones", Rule::Ones),
    ];
    if let DeValue::Table(_) = value.get_ref() {
        let mut table = source.table(value, key)?;
        let std = table.require("normal", "a rule")?;
        let number = source.number(std, "`normal`")?;
        table.reject_rest("a rule")?;
        if !(number >= 0.0 && number.is_finite()) {
            return Err(source.error(&std.span(), "a standard deviation must be 0 or above", "not one"));
        }
        return Ok(Rule::Normal { std: number });
    }
    let name = source.string(value, &format!("`{key}`"))?;
    match RULES.iter().find(|(known, _)| *known == name) {
        Some((_, rule)) => Ok(*rule),
        None => {
            let error = source.error(&value.span(), format!("no rule is called `{name}`"), "unknown rule");
            Err(error.suggest(name, RULES.iter().map(|(known, _)| *known).chain(["{ normal = STD }"])))
        }
    }
}
