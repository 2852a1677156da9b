//! The keys of image networks: timm's `config.json`, Hugging Face's, and its
//! `preprocessor_config.json`.

use super::Plain::{Is, Nothing, Number, Text};
use super::{Key, absent, harmless, off, only, read, within};

/// timm's `config.json`, and what this project adds to it.
pub(crate) const TIMM: &[Key] = &[
    read("architecture"),
    read("num_classes"),
    read("label_names"),
    read("stride_in_1x1"),
    read("channel_order"),
    read("depths"),
    read("widths"),
    read("stem_width"),
    read("hidden_width"),
    within("pretrained_cfg", &[PRETRAINED, VARIANT]),
    within("model_args", &[MODEL_ARGS, VARIANT]),
    harmless("label_descriptions"),
    harmless("num_features"),
];

/// How a picture becomes an input: an object, or flat where there is none.
pub(crate) const PRETRAINED: &[Key] = &[
    read("input_size"),
    read("crop_pct"),
    read("crop_mode"),
    read("interpolation"),
    read("mean"),
    read("std"),
    read("num_classes"),
    read("label_names"),
    only("label_offset", &[Number(0.0)], "0"),
    harmless("label_descriptions"),
    // What timm takes when it is asked to, and not by itself.
    harmless("test_input_size"),
    harmless("test_crop_pct"),
    harmless("test_pool_size"),
    harmless("min_input_size"),
    harmless("fixed_input_size"),
    harmless("pool_size"),
    // Names of tensors, of which the checkpoint tells more.
    harmless("first_conv"),
    harmless("classifier"),
    harmless("url"),
    harmless("file"),
    harmless("hf_hub_id"),
    harmless("source"),
    harmless("architecture"),
    harmless("tag"),
    harmless("custom_load"),
    harmless("license"),
];

/// What timm builds the network with, where it is not read.
pub(super) const MODEL_ARGS: &[Key] = &[
    read("num_classes"),
    read("in_chans"),
    // timm's own words: they replace what the name of the architecture says.
    absent("block"),
    absent("layers"),
    absent("channels"),
    only("stem_width", &[Number(64.0)], "64"),
    absent("img_size"),
    harmless("drop_rate"),
    harmless("drop_path_rate"),
    harmless("drop_block_rate"),
    harmless("zero_init_last"),
    harmless("pretrained"),
    harmless("scriptable"),
    harmless("exportable"),
];

/// What changes a network in timm. `model_args` is where timm looks; elsewhere it was meant so.
pub(crate) const VARIANT: &[Key] = &[
    only("global_pool", &[Text("avg"), Text("fastavg")], "`avg`"),
    only("output_stride", &[Number(32.0)], "32"),
    only("act_layer", &[Text("relu"), Nothing], "`relu`"),
    only(
        "norm_layer",
        &[Text("batchnorm"), Text("batchnorm2d"), Text("batch_norm"), Nothing],
        "`batchnorm2d`",
    ),
    absent("aa_layer"),
    only("bn_eps", &[Number(1e-5)], "1e-5"),
    only("norm_eps", &[Number(1e-5)], "1e-5"),
    absent("stem_type"),
    off("replace_stem_pool"),
    off("avg_down"),
    only("cardinality", &[Number(1.0)], "1"),
    only("base_width", &[Number(64.0)], "64"),
    absent("block_args"),
    only("block_reduce_first", &[Number(1.0)], "1"),
    only("down_kernel_size", &[Number(1.0)], "1"),
    absent("attn_layer"),
    off("features_only"),
    only("mlp_ratio", &[Number(1.0)], "1"),
    only("conv_bias", &[Nothing], "left out"),
];

const UNUSED: &str = "left out for this architecture";

/// A key of other architectures.
const fn unused(name: &'static str) -> Key {
    only(name, &[Nothing], UNUSED)
}

/// timm's `config.json` of a vision transformer.
pub(crate) const TIMM_VIT: &[Key] = &[
    read("architecture"),
    read("num_classes"),
    read("label_names"),
    read("channel_order"),
    only("global_pool", &[Text("token")], "`token`"),
    unused("depths"),
    unused("widths"),
    unused("stem_width"),
    unused("hidden_width"),
    only("stride_in_1x1", &[Is(false)], UNUSED),
    within("pretrained_cfg", &[PRETRAINED]),
    within("model_args", &[VIT_ARGS]),
    harmless("label_descriptions"),
    harmless("num_features"),
];

/// What timm builds one with, where it is not read.
pub(super) const VIT_ARGS: &[Key] = &[
    read("num_classes"),
    read("in_chans"),
    read("embed_dim"),
    read("depth"),
    read("num_heads"),
    read("mlp_ratio"),
    read("qkv_bias"),
    read("patch_size"),
    only("global_pool", &[Text("token")], "`token`"),
    only("class_token", &[Is(true)], "true"),
    only("pos_embed", &[Text("learn")], "`learn`"),
    only("act_layer", &[Text("gelu"), Nothing], "`gelu`"),
    only("norm_layer", &[Text("layernorm"), Nothing], "`layernorm`"),
    off("no_embed_class"),
    only("reg_tokens", &[Number(0.0)], "0"),
    off("pre_norm"),
    off("qk_norm"),
    absent("init_values"),
    off("fc_norm"),
    only("final_norm", &[Is(true)], "true"),
    off("dynamic_img_size"),
    off("dynamic_img_pad"),
    absent("block_fn"),
    absent("mlp_layer"),
    absent("embed_layer"),
    // The size of pictures tells as much.
    harmless("img_size"),
    harmless("drop_rate"),
    harmless("drop_path_rate"),
    harmless("pos_drop_rate"),
    harmless("patch_drop_rate"),
    harmless("proj_drop_rate"),
    harmless("attn_drop_rate"),
    harmless("weight_init"),
    harmless("pretrained"),
];

/// Hugging Face's ViT and DeiT, beside what every configuration of transformers may hold.
pub(crate) const HUGGING_FACE_VIT: &[Key] = &[
    read("hidden_size"),
    read("num_hidden_layers"),
    read("num_attention_heads"),
    read("intermediate_size"),
    read("hidden_act"),
    read("layer_norm_eps"),
    read("image_size"),
    read("patch_size"),
    read("num_channels"),
    read("qkv_bias"),
    read("channel_order"),
    unused("depths"),
    unused("widths"),
    unused("stem_width"),
    unused("hidden_width"),
    only("stride_in_1x1", &[Is(false)], UNUSED),
    harmless("encoder_stride"),
    // A classifier of images has no pooler.
    harmless("pooler_output_size"),
    harmless("pooler_act"),
    harmless("hidden_dropout_prob"),
    harmless("attention_probs_dropout_prob"),
];

/// Hugging Face's ResNet, beside what every configuration of transformers may hold.
pub(crate) const HUGGING_FACE: &[Key] = &[
    read("embedding_size"),
    read("hidden_sizes"),
    read("depths"),
    read("layer_type"),
    read("downsample_in_first_stage"),
    read("downsample_in_bottleneck"),
    read("num_channels"),
    read("hidden_act"),
    read("channel_order"),
    // Which maps a detector would look at.
    harmless("out_features"),
    harmless("out_indices"),
    harmless("stage_names"),
];

/// Hugging Face's `preprocessor_config.json`.
pub(crate) const PREPROCESSOR: &[Key] = &[
    read("image_processor_type"),
    read("feature_extractor_type"),
    read("do_resize"),
    read("size"),
    read("crop_pct"),
    read("resample"),
    read("do_center_crop"),
    read("crop_size"),
    read("do_rescale"),
    read("rescale_factor"),
    read("do_normalize"),
    read("image_mean"),
    read("image_std"),
    within("auto_map", &[PROCESSOR_CODE]),
    off("do_pad"),
    absent("pad_size"),
    off("do_flip_channel_order"),
    off("rescale_offset"),
    off("use_square_size"),
    off("do_thumbnail"),
    off("do_align_long_axis"),
    off("do_crop_margin"),
    off("do_color_quantize"),
    off("do_grayscale"),
    off("do_binarize"),
    off("do_split_image"),
    off("do_image_splitting"),
    off("apply_ocr"),
    absent("reducing_gap"),
    // A picture is turned to the channels of the network anyhow.
    harmless("do_convert_rgb"),
    harmless("do_reduce_labels"),
    harmless("reduce_labels"),
    harmless("default_to_square"),
    harmless("data_format"),
    harmless("input_data_format"),
    harmless("return_tensors"),
    harmless("disable_grouping"),
    harmless("device"),
    harmless("processor_class"),
];

pub(super) const PROCESSOR_CODE: &[Key] =
    &[absent("AutoImageProcessor"), absent("AutoFeatureExtractor")];
