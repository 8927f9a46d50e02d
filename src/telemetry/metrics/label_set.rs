//! Defines a set of labels: the labels' names and values, and every combination that may occur.

use metrics::Label;
use strum::{EnumMessage, VariantArray};

pub trait LabelSet: Sized {
    /// Returns the labels' names and values, for the documentation.
    fn legend() -> Vec<Legend>;
    /// Returns every combination that may occur. Empty if the combinations depend on the configuration.
    fn all() -> Vec<Self> {
        Vec::new()
    }
    fn pairs(self) -> Vec<Label>;
}

#[derive(Debug, Clone)]
pub struct Legend {
    pub name: &'static str,
    pub values: Values,
}

#[derive(Debug, Clone)]
pub enum Values {
    Closed(Vec<(&'static str, &'static str)>),
    /// Every failure code, and in addition these values.
    Codes(&'static [&'static str]),
    /// The values have no fixed list. The text says what limits their number.
    Bounded(&'static str),
}

/// A label whose values are the variants of an enum.
pub trait ClosedLabel: Copy + VariantArray {
    const NAME: &'static str;

    /// Returns the value as the metrics page shows it, and its meaning.
    fn described(self) -> (&'static str, &'static str);
}

/// A label whose values are the variants of an enum. The doc comment of a variant is its meaning in the documentation.
pub trait DocumentedLabel: Copy + EnumMessage + Into<&'static str> + VariantArray {
    const NAME: &'static str;
}

impl<L: DocumentedLabel> ClosedLabel for L {
    const NAME: &'static str = <L as DocumentedLabel>::NAME;

    fn described(self) -> (&'static str, &'static str) {
        (self.into(), self.get_documentation().unwrap_or_default())
    }
}

impl<L: ClosedLabel> LabelSet for L {
    fn legend() -> Vec<Legend> {
        let values = Self::VARIANTS.iter().map(|value| value.described()).collect();
        vec![Legend { name: L::NAME, values: Values::Closed(values) }]
    }

    fn all() -> Vec<Self> {
        Self::VARIANTS.to_vec()
    }

    fn pairs(self) -> Vec<Label> {
        vec![Label::from_static_parts(L::NAME, self.described().0)]
    }
}

impl LabelSet for () {
    fn legend() -> Vec<Legend> {
        Vec::new()
    }

    fn all() -> Vec<Self> {
        vec![()]
    }

    fn pairs(self) -> Vec<Label> {
        Vec::new()
    }
}

impl<A: LabelSet + Clone, B: LabelSet> LabelSet for (A, B) {
    fn legend() -> Vec<Legend> {
        [A::legend(), B::legend()].concat()
    }

    fn all() -> Vec<Self> {
        A::all().into_iter().flat_map(|a| B::all().into_iter().map(move |b| (a.clone(), b))).collect()
    }

    fn pairs(self) -> Vec<Label> {
        [self.0.pairs(), self.1.pairs()].concat()
    }
}
