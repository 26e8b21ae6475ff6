//! Reads JSON strictly and says which field was wrong.
//!
//! Reading is done once, straight into the type. Only where that fails is the text read again with the path kept, so that good
//! requests pay nothing for good errors.

use super::Problem;
use serde::Deserialize;
use serde_json::error::Category;

/// Reads `text` as a `T`; a problem names the field, such as `lines[1].quantity`.
pub fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(text).map_err(|error| explain::<T>(text, &error))
}

fn explain<'a, T: Deserialize<'a>>(text: &'a [u8], error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Data => {
            let mut again = serde_json::Deserializer::from_slice(text);
            match serde_path_to_error::deserialize::<_, T>(&mut again) {
                Err(placed) => Problem::invalid(field(&placed), reason(&placed.inner().to_string())),
                Ok(_) => Problem::invalid("", reason(&error.to_string())),
            }
        }
        Category::Eof => Problem::not_json(format!("the text ends too early: {error}")),
        Category::Syntax | Category::Io => Problem::not_json(error.to_string()),
    }
}

fn field(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let message = error.inner().to_string();
    let path = error.path().to_string();
    let mut parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
    // Numbers kept as text are read through a map of one key, which is nobody's business.
    parts.retain(|part| !part.starts_with('$') && *part != "?" && !part.contains("private"));
    if message.starts_with("unknown field") {
        let unknown = message.split('`').nth(1).unwrap_or_default();
        if parts.last() != Some(&unknown) {
            parts.push(unknown);
        }
    }
    parts.join(".")
}

/// serde's message without the place in the text, which the field names better.
fn reason(message: &str) -> String {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message[..end].to_owned()
}
