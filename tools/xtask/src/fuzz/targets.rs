//! What there is to throw at: the files of `tests/fuzz/src/bin`.

use clap::ValueEnum;

/// A reader of something that a stranger may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Target {
    /// When requests are due: load --trace
    Arrivals,
    /// Lists of classes: convert --classes
    Classes,
    /// config.json of texts and images
    Config,
    /// Flags in TOML: --config
    ConfigFile,
    /// The protocol's frames
    Frames,
    /// IDX images and labels, gzipped or not
    Idx,
    /// model.safetensors.index.json
    Index,
    /// Lines of JSON and text: --input
    Lines,
    /// PNG, JPEG, WebP, BMP, GIF
    Picture,
    /// preprocessor_config.json
    Preprocessor,
    /// Saved profiles
    Profile,
    /// ramps.safetensors
    Ramps,
    /// Records: classify --record
    Record,
    /// model.safetensors
    Safetensors,
    /// Texts through tokenizers: cut before they are split, and after
    Text,
    /// thresholds.json
    Thresholds,
    /// tokenizer.json
    Tokenizer,
    /// tokenizer_config.json
    TokenizerConfig,
}

impl Target {
    /// Its name, and that of its file.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Longest input, bytes: room for what there is to say, and little for saying it again.
    pub(super) fn bytes_max(self) -> usize {
        match self {
            Self::Frames | Self::Arrivals | Self::Classes | Self::Preprocessor => 512,
            Self::ConfigFile | Self::Idx | Self::Lines | Self::Profile => 1024,
            Self::Record | Self::TokenizerConfig => 1024,
            Self::Text => 192,
            Self::Config | Self::Index | Self::Picture | Self::Ramps | Self::Safetensors => 2048,
            Self::Thresholds => 1024,
            Self::Tokenizer => 2560,
        }
    }

    /// The sources of its reader, whose words make its dictionary.
    pub(super) fn sources(self) -> &'static [&'static str] {
        match self {
            Self::Arrivals | Self::Classes | Self::Frames | Self::Idx | Self::Picture => &[],
            Self::Config | Self::Preprocessor => &[
                "weights/src/config.rs",
                "weights/src/text",
                "weights/src/spec",
                "weights/src/image",
                "weights/src/keys",
            ],
            Self::ConfigFile => &["tools/src/serve.rs", "tools/src/serve", "tools/src/args.rs"],
            Self::Index => &["weights/src/file/shards.rs"],
            Self::Lines => &["tools/src/rows"],
            Self::Profile => &["engine/tune/src/profile.rs"],
            Self::Ramps => &["weights/src/ramps", "weights/src/file/header.rs"],
            Self::Record => &["engine/tune/src/feedback/record.rs", "engine/tune/src/profile.rs"],
            Self::Safetensors => &["weights/src/file/header.rs", "weights/src/text"],
            Self::Text | Self::TokenizerConfig => {
                &["engine/src/text", "weights/src/tokenizer_config.rs"]
            }
            Self::Thresholds => &["weights/src/thresholds"],
            Self::Tokenizer => &["tests/fuzz/tokenizers"],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_target_has_its_file_and_every_file_its_target() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let files = std::fs::read_dir(root.join("tests/fuzz/src/bin")).unwrap();
        let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut files: Vec<_> = files.map(|entry| name(&entry.unwrap().path())).collect();
        files.sort();
        let mut targets: Vec<_> = Target::value_variants().iter().map(|it| it.name()).collect();
        targets.sort();
        assert_eq!(targets, files);
    }

    #[test]
    fn every_source_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for source in Target::value_variants().iter().flat_map(|target| target.sources()) {
            assert!(root.join(source).exists(), "{source}");
        }
    }
}
