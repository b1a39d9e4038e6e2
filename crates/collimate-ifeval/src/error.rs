//! Errors.

/// Reason why a row of instructions cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstructionError {
    /// No check has this name.
    #[error(
        "no instruction has the id {0:?}; the ids are those of IFEval, such as length_constraints:number_words"
    )]
    Unknown(String),
    /// An argument is missing or of another type.
    #[error("{id} needs the argument {name}: {wanted}")]
    Argument {
        /// Id of the instruction.
        id: String,
        /// Name of the argument.
        name: &'static str,
        /// Value that the argument may have.
        wanted: &'static str,
    },
    /// The instruction has no argument of this name.
    #[error("{id} has no argument {name:?}")]
    Unused {
        /// Id of the instruction.
        id: String,
        /// Name of the argument.
        name: String,
    },
    /// The language of an answer cannot be recognised.
    #[error("answers in the language {0:?} cannot be recognised")]
    Language(String),
    /// A field of the row is missing or of another type.
    #[error("the row needs the field {name}: {wanted}")]
    Field {
        /// Name of the field.
        name: &'static str,
        /// Value that the field may have.
        wanted: &'static str,
    },
    /// The row has another number of instructions than of arguments.
    #[error("the row has {ids} instruction ids but {arguments} objects of arguments in kwargs")]
    Lengths {
        /// Number of ids.
        ids: usize,
        /// Number of objects with arguments.
        arguments: usize,
    },
}
