#![doc = include_str!("../README.md")]

mod content;
mod error;
mod example;
mod folder;
mod noise;
mod pool;
mod read;
mod row_source;
mod split;
mod store;
mod tokenize;
mod unlabelled;
mod votes;

pub use error::DataError;
pub use example::SftExample;
pub use folder::{DataPart, data_files};
pub use noise::swap_labels;
pub use pool::{
    Auditor, HiddenLabelPool, HiddenPair, LabelPrecision, SealedLabels, SelfLabelledPair,
    oracle_labels,
};
pub use read::{
    Answer, AnswerLists, AnswerPairs, AskedPrompt, Candidates, ChoiceFormat, ChoiceQuestion,
    DropReason, DroppedRow, ExactQuestion, Format, GradedAnswer, HhTurns, Input, LabelledExample,
    Labels, Note, Numbering, OnBadRow, Places, Prompts, Question, QuestionFormat, RankedAnswers,
    RankedDrop, RankedOptions, RankedReport, ReadChoices, ReadOptions, ReadReport, RowStream,
    SftTurns, StreamedRow, not_used, read_answers, read_labelled, read_labelled_pairs, read_pairs,
    read_pairs_of, read_questions, read_sft, read_unlabelled,
};
pub use row_source::RowSource;
pub use split::{
    Grouped, SER_SHARES, group_digests, part_by_hash, seed_split, split_by_fraction, split_by_hash,
};
pub use store::{
    Begun, Lengths, RowNumbers, StoreBuilder, StoreKey, StorePlan, StoredRow, StoredRows,
    TokenStore,
};
pub use tokenize::{
    AnswerEnd, ChatFallback, ChatOptions, ChatTemplate, OnRewrittenPrompt, SpecialTokenIds,
    TextStream, TextTokenizer, TokenizeReport, TokenizedExample, TokenizedPair, TokenizerOptions,
    Truncation, adapter_base, adapter_chain,
};
pub use unlabelled::UnlabelledPair;
pub use votes::{Votes, by_majority};
