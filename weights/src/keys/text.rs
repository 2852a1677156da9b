//! The keys of a transformer's `config.json`, as transformers writes it.

use super::Plain::{Is, Nothing, Number, Text};
use super::{Key, absent, harmless, off, only, read, within};

/// Of every configuration that transformers writes.
pub(crate) const COMMON: &[Key] = &[
    read("model_type"),
    read("architectures"),
    read("id2label"),
    read("num_labels"),
    read("problem_type"),
    read("sentence_transformers"),
    read("sbert_ce_default_activation_function"),
    within("auto_map", &[AUTO_MAP]),
    within("adapters", &[ADAPTERS]),
    absent("quantization_config"),
    absent("compression_config"),
    absent("pruned_heads"),
    absent("peft_type"),
    absent("peft_config"),
    off("is_encoder_decoder"),
    harmless("label2id"),
    harmless("_name_or_path"),
    harmless("name_or_path"),
    harmless("transformers_version"),
    harmless("adapter_transformers_version"),
    harmless("torch_dtype"),
    harmless("dtype"),
    harmless("torchscript"),
    harmless("use_bfloat16"),
    harmless("return_dict"),
    harmless("output_attentions"),
    harmless("output_hidden_states"),
    harmless("output_past"),
    read("tokenizer_class"),
    harmless("finetuning_task"),
    harmless("task_specific_params"),
    harmless("gradient_checkpointing"),
    harmless("initializer_range"),
    harmless("custom_pipelines"),
    // Only how the same sum is taken.
    harmless("chunk_size_feed_forward"),
    harmless("attn_implementation"),
    harmless("_attn_implementation"),
    harmless("_attn_implementation_autoset"),
];

/// Code beside the weights: what it computes is not in the configuration.
pub(super) const AUTO_MAP: &[Key] = &[
    absent("AutoModel"),
    absent("AutoModelForSequenceClassification"),
    absent("AutoModelForImageClassification"),
    harmless("AutoConfig"),
    harmless("AutoTokenizer"),
    harmless("AutoImageProcessor"),
];

/// What the `adapters` library leaves: adapters that are applied, beside their settings.
pub(super) const ADAPTERS: &[Key] = &[
    absent("adapters"),
    absent("fusions"),
    harmless("config_map"),
    harmless("fusion_config_map"),
    harmless("fusion_name_map"),
];

/// Of all three families.
pub(crate) const ENCODER: &[Key] = &[
    read("vocab_size"),
    read("max_position_embeddings"),
    read("pad_token_id"),
    only("is_decoder", &[Is(false)], "false: only encoders run here"),
    only("add_cross_attention", &[Is(false)], "false: only encoders run here"),
    only("position_embedding_type", &[Text("absolute")], "`absolute`"),
    // Prompts that are trained in place of weights (P-tuning).
    only("pre_seq_len", &[Number(0.0)], "0 or left out"),
    off("prefix_projection"),
    harmless("tie_word_embeddings"),
    harmless("use_cache"),
    harmless("bos_token_id"),
    harmless("eos_token_id"),
    harmless("sep_token_id"),
    harmless("cls_token_id"),
    harmless("mask_token_id"),
];

/// BERT's and RoBERTa's own.
pub(crate) const BERT: &[Key] = &[
    read("hidden_size"),
    read("num_hidden_layers"),
    read("num_attention_heads"),
    read("intermediate_size"),
    read("type_vocab_size"),
    read("layer_norm_eps"),
    read("hidden_act"),
    harmless("hidden_dropout_prob"),
    harmless("attention_probs_dropout_prob"),
    harmless("classifier_dropout"),
    // Of the first BERT, which the pooler of transformers does not look at.
    harmless("directionality"),
    harmless("pooler_fc_size"),
    harmless("pooler_num_attention_heads"),
    harmless("pooler_num_fc_layers"),
    harmless("pooler_size_per_head"),
    only("pooler_type", &[Text("first_token_transform"), Nothing], "`first_token_transform`"),
];

/// DistilBERT's own. The size of a layer may have BERT's name, as it may in transformers.
pub(crate) const DISTILBERT: &[Key] = &[
    read("dim"),
    read("hidden_size"),
    read("n_layers"),
    read("num_hidden_layers"),
    read("n_heads"),
    read("num_attention_heads"),
    read("hidden_dim"),
    read("activation"),
    harmless("dropout"),
    harmless("attention_dropout"),
    harmless("qa_dropout"),
    harmless("seq_classif_dropout"),
    harmless("tie_weights_"),
    // How the table of positions began; the checkpoint holds what it is.
    harmless("sinusoidal_pos_embds"),
    // Its norms have one in transformers, whatever this says.
    harmless("layer_norm_eps"),
];
