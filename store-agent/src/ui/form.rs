//! A form as it was sent: names and texts, bounded, read once.

use super::failure::Failure;

/// As many as the largest form has, several times over.
const FIELDS_MAX: usize = 256;

/// The fields of a form, or what stands after the `?` of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// # Errors
    /// More fields than any form of ours has.
    pub fn read(text: &[u8]) -> Result<Form, Failure> {
        let fields: Vec<(String, String)> = form_urlencoded::parse(text)
            .take(FIELDS_MAX + 1)
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        if fields.len() > FIELDS_MAX { Err(Failure::Unreadable) } else { Ok(Form { fields }) }
    }

    /// The field, without blanks around it; empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }

    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// # Errors
    /// The field is missing or no such thing.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<T, Failure> {
        self.text(name).parse().map_err(|_| Failure::Unreadable)
    }

    /// The fields that have to come again when the form is sent once more with a PIN.
    pub fn carried(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = |name: &str| !matches!(name, "form" | "pin" | "pin_of" | "unlock_pin");
        self.fields
            .iter()
            .filter(move |(name, _)| own(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_trimmed_and_the_first_of_a_name_counts() {
        let form = Form::read(b"name=+Ana%20G.+&pin=8305&name=Bo&empty=").unwrap();
        assert_eq!((form.text("name"), form.text("pin"), form.text("nothing")), ("Ana G.", "8305", ""));
        assert!(form.has("pin") && !form.has("empty"));
        assert_eq!(form.parsed::<u32>("pin").unwrap(), 8305);
        assert!(form.parsed::<u32>("name").is_err());
    }

    #[test]
    fn pins_are_not_carried_along() {
        let form = Form::read(b"form=x&pin=8305&pin_of=1&unlock_pin=2&act=ready").unwrap();
        assert_eq!(form.carried().collect::<Vec<_>>(), [("act", "ready")]);
    }

    #[test]
    fn a_form_of_endless_fields_is_refused() {
        let text = "a=1&".repeat(FIELDS_MAX + 1);
        assert!(Form::read(text.as_bytes()).is_err());
    }
}
