//! The contents of a Hugging Face folder.

use std::path::Path;

use collimate_gguf::{Export, Gguf, GgufError, HfFolder, HfTensor, OutType, write_hugging_face};
use serde_json::Value;
use tempfile::TempDir;

use super::weight;

/// The contents of a Hugging Face folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) config: Value,
    pub(crate) tokenizer: Value,
    pub(crate) settings: Value,
    pub(crate) generation: Value,
    pub(crate) tensors: Vec<HfTensor>,
}

impl Folder {
    pub(crate) fn of(gguf: &Gguf) -> Self {
        let model = gguf.hugging_face().unwrap();
        Self {
            config: model.config().unwrap(),
            tokenizer: model.tokenizer().unwrap(),
            settings: model.tokenizer_config().unwrap(),
            generation: model.generation_config().unwrap(),
            tensors: model.tensors(),
        }
    }

    pub(crate) fn write(&self, path: &Path, out_type: OutType) -> Result<Export, GgufError> {
        let folder = HfFolder {
            config: &self.config,
            tokenizer: &self.tokenizer,
            tokenizer_config: &self.settings,
            generation_config: Some(&self.generation),
            chat_template: None,
            tensors: &self.tensors,
            name: Some("Tiny"),
        };
        write_hugging_face(path, &folder, out_type, |name| {
            let tensor = self.tensors.iter().find(|tensor| tensor.name == name);
            Ok(weight(name, &tensor.unwrap().shape))
        })
    }

    pub(crate) fn error(&self) -> String {
        let folder = TempDir::new().unwrap();
        let text = self
            .write(&folder.path().join("a.gguf"), OutType::F32)
            .unwrap_err()
            .to_string();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(!text.contains('\n'), "{text}");
        text
    }
}
