//! A reader of Erlang's external term format, written from its definition and not from the
//! writer it checks. It knows the tags that JSON needs; anything else ends the test.

use std::collections::BTreeMap;

/// A term, as Erlang would hold it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Term {
    Atom(String),
    /// In decimal: integers may be wider than any of Rust's.
    Integer(String),
    Float(f64),
    Binary(Vec<u8>),
    List(Vec<Term>),
    Map(BTreeMap<Vec<u8>, Term>),
}

/// A page's edges, as Erlang gets them: part by part.
pub(crate) fn edges(page: &cron_engine::page::Page) -> Vec<Term> {
    let mut all = Vec::new();
    for part in &page.parts {
        let edges = Term::read(&part.terms).list();
        assert_eq!(u64::try_from(edges.len()), Ok(part.edges), "as many edges as the part says");
        assert!(!edges.is_empty(), "a part without edges");
        all.extend(edges);
    }
    all
}

impl Term {
    /// Reads the one term that `bytes` hold, version byte included.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut reader = Reader { bytes };
        assert_eq!(reader.byte(), 131, "the version of the format");
        let term = reader.term();
        assert!(reader.bytes.is_empty(), "{} bytes behind the term", reader.bytes.len());
        term
    }

    pub(crate) fn binary(text: &str) -> Self {
        Self::Binary(text.as_bytes().to_vec())
    }

    pub(crate) fn integer(digits: impl ToString + Copy) -> Self {
        Self::Integer(digits.to_string())
    }

    pub(crate) fn atom(name: &str) -> Self {
        Self::Atom(name.into())
    }

    /// A map with these entries.
    pub(crate) fn map<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Map(
            entries.into_iter().map(|(key, value)| (key.as_bytes().to_vec(), value)).collect(),
        )
    }

    pub(crate) fn list(self) -> Vec<Self> {
        match self {
            Self::List(elements) => elements,
            other => panic!("no list: {other:?}"),
        }
    }

    /// The value of a map's entry; panics if there is none.
    pub(crate) fn get(&self, key: &str) -> &Self {
        match self {
            Self::Map(entries) => &entries[key.as_bytes()],
            other => panic!("no map: {other:?}"),
        }
    }

    /// The text of a binary.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Binary(bytes) => std::str::from_utf8(bytes).expect("UTF-8"),
            other => panic!("no binary: {other:?}"),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (head, tail) = self.bytes.split_at(length);
        self.bytes = tail;
        head
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn length(&mut self) -> usize {
        let bytes = self.take(4).try_into().expect("4 bytes");
        usize::try_from(u32::from_be_bytes(bytes)).expect("a length fits")
    }

    fn term(&mut self) -> Term {
        match self.byte() {
            70 => {
                let bytes = self.take(8).try_into().expect("8 bytes");
                Term::Float(f64::from_be_bytes(bytes))
            }
            97 => Term::integer(self.byte()),
            98 => Term::integer(i32::from_be_bytes(self.take(4).try_into().expect("4 bytes"))),
            106 => Term::List(Vec::new()),
            108 => {
                let length = self.length();
                assert!(length > 0, "a list of no elements is the empty list");
                let elements = (0..length).map(|_| self.term()).collect();
                assert_eq!(self.byte(), 106, "a proper list ends with the empty one");
                Term::List(elements)
            }
            109 => {
                let length = self.length();
                Term::Binary(self.take(length).to_vec())
            }
            110 => {
                let length = self.byte().into();
                self.big(length)
            }
            111 => {
                let length = self.length();
                assert!(length > 255, "a short integer has the short tag");
                self.big(length)
            }
            116 => self.map(),
            119 => {
                let length = self.byte().into();
                Term::Atom(String::from_utf8(self.take(length).to_vec()).expect("UTF-8"))
            }
            tag => panic!("JSON needs no tag {tag}"),
        }
    }

    /// Erlang refuses a map with a key twice, so this reader does.
    fn map(&mut self) -> Term {
        let length = self.length();
        let mut entries = BTreeMap::new();
        for _ in 0..length {
            let Term::Binary(key) = self.term() else { panic!("a key is a binary") };
            let value = self.term();
            let text = key.escape_ascii().to_string();
            assert!(entries.insert(key, value).is_none(), "the key {text} is there twice");
        }
        Term::Map(entries)
    }

    /// A sign and a little-endian magnitude, turned to decimal by repeated division.
    fn big(&mut self, length: usize) -> Term {
        let sign = match self.byte() {
            0 => "",
            1 => "-",
            other => panic!("no sign: {other}"),
        };
        let mut magnitude = self.take(length).to_vec();
        assert_ne!(magnitude.last(), Some(&0), "the first digit is not zero");
        let mut digits = Vec::new();
        while !magnitude.is_empty() {
            let mut rest = 0_u16;
            for byte in magnitude.iter_mut().rev() {
                let part = (rest << 8) | u16::from(*byte);
                *byte = u8::try_from(part / 10).expect("the rest is below 10");
                rest = part % 10;
            }
            digits.push(char::from(b'0' + u8::try_from(rest).expect("one digit")));
            while magnitude.last() == Some(&0) {
                magnitude.pop();
            }
        }
        let digits: String = digits.into_iter().rev().collect();
        Term::Integer(format!("{sign}{digits}"))
    }
}
