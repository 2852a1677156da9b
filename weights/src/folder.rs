//! What the files of a model's folder are called, how long they may be, and which may not be there.

use std::path::Path;

use crate::disk::is_there;
use crate::error::{Error, Result};

/// The file name of a model's configuration.
pub const CONFIG_FILE: &str = "config.json";

/// Longest `config.json` that is read, bytes.
pub(crate) const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// The file beside `config.json` that Hugging Face writes.
pub const PREPROCESSOR_FILE: &str = "preprocessor_config.json";

/// What peft leaves in a folder: transformers then loads another model, and applies this to it.
const ADAPTER_FILES: [&str; 3] =
    ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"];

/// Refuses a folder that holds an adapter, alone or beside a model.
pub(crate) fn check_no_adapter_files(dir: &Path) -> Result<()> {
    match ADAPTER_FILES.into_iter().find(|name| is_there(&dir.join(name))) {
        None => Ok(()),
        Some(name) => {
            let expected = "a whole model".into();
            let found = "this is an adapter, which is not applied here: merge it into its base \
                         model (merge_and_unload of peft) and save that, or take the file away";
            Err(Error::Missing { file: dir.join(name), expected, found: found.into() })
        }
    }
}
