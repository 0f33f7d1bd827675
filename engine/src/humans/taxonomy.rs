//! The kinds of errors that nets and people make on photos of objects.
//!
//! Karpathy 2014 ("Analysis of errors"); Russakovsky et al. 2014, section 6.4.3.

/// One kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorKind {
    /// Its name in files and tables.
    pub name: &'static str,
    /// The cases it applies to.
    pub about: &'static str,
}

/// All kinds, in the order of the papers: those of both, then those more frequent in nets, then those more frequent in people.
pub const KINDS: [ErrorKind; 9] = [
    ErrorKind {
        name: "multiple objects",
        about: "the image holds several of the classes, and the label names another one",
    },
    ErrorKind { name: "wrong label", about: "the label itself is wrong" },
    ErrorKind { name: "small or thin object", about: "the object takes up little of the image" },
    ErrorKind { name: "image filter", about: "odd contrast or colours, a filter, a strange viewpoint" },
    ErrorKind { name: "abstract representation", about: "a drawing, a statue, a toy or a picture of the object" },
    ErrorKind { name: "fine-grained", about: "a class much like the right one: a kind of dog, bird or snake" },
    ErrorKind { name: "class unawareness", about: "the annotator did not know that the class is there to be chosen" },
    ErrorKind { name: "too few examples", about: "the class's examples did not show what it can look like" },
    ErrorKind { name: "other", about: "none of these" },
];

/// The kind called `name`.
pub fn find(name: &str) -> Option<ErrorKind> {
    KINDS.into_iter().find(|k| k.name == name)
}
