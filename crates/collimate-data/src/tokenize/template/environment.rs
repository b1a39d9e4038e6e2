//! The dialect of Jinja that transformers uses.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::date::Moment;
use super::json::tojson;
use super::python::strip;
use super::repr::string;
use super::{methods, tags};

/// Largest number of steps of a rendering. A conversation of a thousand turns takes about a
/// million.
const STEPS: u64 = 20_000_000;

/// Name of the only template of an environment.
pub(super) const NAME: &str = "chat_template";

/// Compiles the Jinja of a chat template.
pub(super) fn compile(source: &str, date: Option<Moment>) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_fuel(Some(STEPS));
    environment.set_unknown_method_callback(methods::call);
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Number | ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            out.write_str(&string(value)).map_err(Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    functions(&mut environment, date);
    filters(&mut environment);
    tests(&mut environment);
    environment.add_template_owned(NAME, tags::rewrite(source))?;
    Ok(environment)
}

fn functions(environment: &mut Environment<'static>, date: Option<Moment>) {
    environment.add_function("raise_exception", |what: Value| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, string(&what)))
    });
    environment.add_function("strftime_now", move |format: String| {
        let moment = date.unwrap_or_else(|| {
            warn_of_today();
            Moment::now()
        });
        moment.format(&format).map_err(|code| {
            let what = format!("strftime_now: {code} is not supported");
            Error::new(ErrorKind::InvalidOperation, what)
        })
    });
}

/// Warns once that ids change from day to day.
fn warn_of_today() {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            "the chat template writes today's date (UTC), so ids change from day to day: fix the \
             date (library: `ChatOptions::date`; programs: `--template-date`)"
        );
    });
}

fn filters(environment: &mut Environment<'static>) {
    environment.add_filter("tojson", tojson);
    environment.add_filter("trim", |value: Value, chars: Option<String>| {
        strip(&string(&value), chars.as_deref(), [true, true]).to_owned()
    });
    environment.add_filter("string", |value: Value| match value.as_str() {
        Some(_) => value,
        None => Value::from(string(&value)),
    });
    environment.add_filter("length", length);
    environment.add_filter("count", length);
    environment.add_filter("wordcount", |value: Value| {
        let word = |sign: char| sign.is_alphanumeric() || sign == '_';
        let text = string(&value);
        text.split(|sign| !word(sign))
            .filter(|word| !word.is_empty())
            .count()
    });
    environment.add_filter("center", |value: Value, width: Option<usize>| {
        let text = string(&value);
        let width = width.unwrap_or(80).min(10_000);
        let all = width.saturating_sub(text.chars().count());
        let left = all / 2 + (all & width & 1);
        format!("{}{text}{}", " ".repeat(left), " ".repeat(all - left))
    });
    environment.add_filter("truncate", minijinja_contrib::filters::truncate);
    environment.add_filter("striptags", minijinja_contrib::filters::striptags);
    environment.add_filter("filesizeformat", minijinja_contrib::filters::filesizeformat);
    environment.add_filter("forceescape", |value: Value| {
        minijinja::HtmlEscape(&string(&value)).to_string()
    });
    environment.add_filter("int", int);
    environment.add_filter("float", |value: Value, default: Option<f64>| {
        let read = match value.as_str() {
            Some(text) => text.trim().parse().ok(),
            None => f64::try_from(value.clone()).ok(),
        };
        read.or(default).unwrap_or(0.0)
    });
}

fn length(value: &Value) -> Result<usize, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(0),
        _ => value.len().ok_or_else(|| {
            let what = format!("{} has no length", value.kind());
            Error::new(ErrorKind::InvalidOperation, what)
        }),
    }
}

/// Converts a value to a number, or returns the default if the value is not a number.
fn int(
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    options: Kwargs,
) -> Result<Value, Error> {
    let default = match default {
        Some(default) => default,
        None => options
            .get::<Option<Value>>("default")?
            .unwrap_or(Value::from(0)),
    };
    let base = match base {
        Some(base) => base,
        None => options.get::<Option<u32>>("base")?.unwrap_or(10),
    };
    options.assert_all_used()?;
    let whole = |number: f64| {
        number
            .is_finite()
            .then(|| Value::from(number.trunc() as i64))
    };
    let read = match value.as_str() {
        Some(text) if (2..=36).contains(&base) => {
            let text = text.trim().replace('_', "");
            match i64::from_str_radix(&text, base) {
                Ok(number) => Some(number.into()),
                Err(_) => text.parse().ok().and_then(whole),
            }
        }
        Some(_) => None,
        None if value.is_integer() => Some(value.clone()),
        None => f64::try_from(value.clone()).ok().and_then(whole),
    };
    Ok(read.unwrap_or(default))
}

fn tests(environment: &mut Environment<'static>) {
    // A text and an object have a length and items, like a list.
    environment.add_test("sequence", |value: Value| {
        matches!(
            value.kind(),
            ValueKind::Undefined
                | ValueKind::String
                | ValueKind::Bytes
                | ValueKind::Seq
                | ValueKind::Iterable
                | ValueKind::Map
        )
    });
    environment.add_test("iterable", |value: Value| {
        !value.is_none() && value.try_iter().is_ok()
    });
    environment.add_test("callable", |value: Value| value.kind() == ValueKind::Plain);
}
