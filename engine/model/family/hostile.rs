//! Configurations of families, every field hostile in turn, and mutations of sound ones.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::model::family::{Family, families};
use crate::model::network::onnx::graph;
use crate::model::onnx::TensorProto;
use crate::model::{Configuration, ModelError};

/// Reads a folder of JSON files, one of them `config.json`.
fn read(files: &Value) -> Result<Configuration, ModelError> {
    let beside = |name: &str| Ok(files.get(name).cloned());
    Configuration::from_json(Path::new("config.json"), &files["config.json"], &|_| false, &beside)
}

/// A sound folder with the catalogued configuration `name`.
fn sound(name: &str) -> Value {
    let mut catalog = families().flat_map(Family::catalog);
    let (_, config) = catalog.find(|(known, _)| *known == name).expect("a catalogued name");
    match name {
        "bert-tiny" => json!({
            "config.json": config,
            "modules.json": [
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
            ],
            "1_Pooling/config.json": {"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true},
            "sentence_bert_config.json": {"max_seq_length": 32, "do_lower_case": false},
            "tokenizer_config.json": {"model_max_length": 48},
        }),
        "resnet-tiny" => {
            let mut config = config;
            config.as_object_mut().expect("an object").remove("image_size");
            let prepared = json!({"do_center_crop": true, "crop_size": {"height": 32, "width": 40}, "size": 48});
            json!({"config.json": config, "preprocessor_config.json": prepared})
        }
        _ => json!({"config.json": config}),
    }
}

fn distilbert() -> Value {
    json!({"config.json": {
        "model_type": "distilbert", "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4,
        "activation": "gelu", "vocab_size": 128, "max_position_embeddings": 64,
    }})
}

fn roberta() -> Value {
    let mut files = sound("bert-tiny");
    files["config.json"]["model_type"] = json!("roberta");
    files["config.json"]["pad_token_id"] = json!(1);
    files
}

fn folders() -> Vec<Value> {
    let tiny = ["bert-tiny", "clip-tiny", "vit-tiny", "resnet-tiny"].map(sound);
    tiny.into_iter().chain([distilbert(), roberta()]).collect()
}

/// What is told of `files` when the value at `pointer` is replaced, or taken away where `None`.
#[track_caller]
fn told(files: &Value, pointer: &str, value: Option<Value>) -> String {
    let mut files = files.clone();
    let (outer, name) = pointer.rsplit_once('/').expect("a pointer");
    let outer = files.pointer_mut(outer).expect("it is there");
    match (outer, value) {
        (Value::Object(map), Some(value)) => drop(map.insert(name.to_owned(), value)),
        (Value::Object(map), None) => drop(map.remove(name)),
        (Value::Array(list), Some(value)) => list[name.parse::<usize>().expect("a place")] = value,
        other => panic!("{other:?} has no {name}"),
    }
    match read(&files) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("`{pointer}` was accepted"),
    }
}

#[test]
fn hostile_sizes_are_refused_with_the_field() {
    let values =
        [json!(0), json!(-1), json!(1.5), json!("8"), json!(u64::MAX), json!([]), json!(true)];
    let encoder = ["num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size"];
    let text = ["vocab_size", "max_position_embeddings"];
    let pictures = ["image_size", "patch_size", "num_channels"];
    let mut cases = Vec::new();
    let mut all = |files: Value, at: &str, fields: &[&str]| {
        cases.extend(fields.iter().map(|f| (files.clone(), at.to_owned(), (*f).to_owned())));
    };
    all(sound("bert-tiny"), "", &[&encoder[..], &text, &["type_vocab_size"]].concat());
    all(distilbert(), "", &["dim", "hidden_dim", "n_layers", "n_heads"]);
    all(sound("vit-tiny"), "", &[&encoder[..], &pictures].concat());
    all(sound("clip-tiny"), "", &["projection_dim"]);
    all(sound("clip-tiny"), "text_config.", &[&encoder[..], &text].concat());
    all(sound("clip-tiny"), "vision_config.", &[&encoder[..], &pictures].concat());
    all(sound("resnet-tiny"), "", &["embedding_size", "num_channels", "image_size"]);
    all(sound("resnet-tiny"), "", &["hidden_sizes", "depths"]);
    for (files, at, field) in cases {
        let pointer = format!("/config.json/{}{field}", at.replace('.', "/"));
        for value in &values {
            let told = told(&files, &pointer, Some(value.clone()));
            assert!(told.starts_with(&format!("`{at}{field}`")), "{pointer} {value}: {told}");
        }
    }
}

#[test]
fn missing_sizes_are_named() {
    let cases = [
        (
            sound("bert-tiny"),
            "hidden_size intermediate_size num_hidden_layers num_attention_heads vocab_size max_position_embeddings",
        ),
        (distilbert(), "dim hidden_dim n_layers n_heads vocab_size max_position_embeddings"),
        (sound("vit-tiny"), "hidden_size intermediate_size num_hidden_layers num_attention_heads"),
        (sound("clip-tiny"), "text_config vision_config"),
        (sound("resnet-tiny"), "hidden_sizes depths"),
    ];
    for (files, fields) in cases {
        for field in fields.split(' ') {
            for gone in [None, Some(Value::Null)] {
                let told = told(&files, &format!("/config.json/{field}"), gone);
                assert!(told.starts_with(&format!("`{field}`")), "{field}: {told}");
            }
        }
    }
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
    let gap = json!({"0": "a", "2": "b"});
    let cases = [
        ("bert-tiny", "num_attention_heads", json!(5), "must divide the hidden size 32"),
        ("bert-tiny", "num_attention_heads", json!(64), "from 1 to 32"),
        ("bert-tiny", "layer_norm_eps", json!(0), "between 0 and 1"),
        ("bert-tiny", "layer_norm_eps", json!("x"), "must be a number"),
        ("bert-tiny", "hidden_act", json!("gelu_new"), "supported are gelu"),
        ("bert-tiny", "hidden_act", json!(3), "must be text"),
        ("bert-tiny", "position_embedding_type", json!("relative_key"), "absolute"),
        ("bert-tiny", "is_decoder", json!(true), "supported are encoders"),
        ("bert-tiny", "quantization_config", json!({"quant_method": "gptq"}), "gptq"),
        ("bert-tiny", "model_type", json!("bort"), "known: "),
        ("clip-tiny", "text_config/eos_token_id", json!(64), "below `vocab_size` 64"),
        ("clip-tiny", "text_config/eos_token_id", json!(-1), "must be a token id"),
        ("clip-tiny", "text_config", json!([]), "must be an object"),
        ("clip-tiny", "vision_config/patch_size", json!(17), "from 1 to 16"),
        ("vit-tiny", "patch_size", json!(17), "from 1 to 16"),
        ("vit-tiny", "qkv_bias", json!("yes"), "true or false"),
        ("vit-tiny", "id2label", gap, "from 0"),
        ("vit-tiny", "id2label", json!({}), "from 0"),
        ("vit-tiny", "id2label", json!(["a"]), "from 0"),
        ("vit-tiny", "id2label", json!({"0": 1}), "from 0"),
        ("vit-tiny", "id2label", json!({"00": "a"}), "from 0"),
        ("resnet-tiny", "depths", json!([1]), "as long as"),
        ("resnet-tiny", "depths", json!([1, 0]), "from 1 to"),
        ("resnet-tiny", "hidden_sizes", json!([16, -1]), "from 1 to"),
        ("resnet-tiny", "hidden_sizes", json!([16, 3]), "at least 4"),
        ("resnet-tiny", "layer_type", json!("bigneck"), "supported are basic"),
        ("resnet-tiny", "downsample_in_bottleneck", json!(1), "true or false"),
    ];
    for (name, field, value, part) in cases {
        let told = told(&sound(name), &format!("/config.json/{field}"), Some(value.clone()));
        let named = field.rsplit('/').next().expect("a name");
        assert!(told.contains(part), "{field} {value}: {told}");
        assert!(told.contains(named) || named == "model_type", "{field} {value}: {told}");
    }
    let vit = {
        let mut files = sound("vit-tiny");
        files["config.json"].as_object_mut().expect("an object").remove("patch_size");
        files
    };
    let told_of = told(&vit, "/config.json/image_size", Some(json!(15)));
    assert!(told_of.contains("must be at least the patch's side 16"), "{told_of}");
    let told_of =
        told(&sound("clip-tiny"), "/config.json/vision_config/image_size", Some(json!(3)));
    assert!(told_of.starts_with("`vision_config.patch_size`"), "{told_of}");
    let told_of = told(&roberta(), "/config.json/pad_token_id", Some(json!(u32::MAX)));
    assert!(told_of.contains("`max_position_embeddings`"), "{told_of}");
}

#[test]
fn hostile_files_beside_a_configuration_are_refused() {
    let bert = sound("bert-tiny");
    let cases = [
        ("modules.json", Some(json!({})), "must be a list"),
        ("modules.json", Some(json!([])), "`[1]`"),
        ("modules.json/0/path", Some(json!("../other")), "supported is ``"),
        ("modules.json/1/path", Some(json!("../../etc")), "supported is `1_Pooling`"),
        ("modules.json/1/path", Some(json!("/etc")), "supported is `1_Pooling`"),
        ("modules.json/1/path", Some(json!(7)), "`[1].path`"),
        ("modules.json/1/path", None, "`[1].path`"),
        ("modules.json/2/type", Some(json!("sentence_transformers.models.Dense")), "Dense"),
        ("modules.json/2/type", Some(json!("mine.Normalize")), "`[2].type`"),
        ("modules.json/0/type", Some(json!("sentence_transformers.models.Pooling")), "`[0].type`"),
        ("modules.json/0/type", Some(json!("\u{202e}\n")), "`[0].type`"),
        ("modules.json/1", Some(Value::Null), "`[1].type`"),
        ("1_Pooling~1config.json", None, "is missing"),
        ("1_Pooling~1config.json", Some(json!([])), "not a JSON object"),
        ("1_Pooling~1config.json/pooling_mode_mean_tokens", Some(json!(false)), "is nothing"),
        ("1_Pooling~1config.json/pooling_mode_cls_token", Some(json!(true)), "supported is one of"),
        ("1_Pooling~1config.json/pooling_mode_max_tokens", Some(json!(true)), "max_tokens"),
        ("1_Pooling~1config.json/pooling_mode_mean_tokens", Some(json!("x")), "true or false"),
        ("1_Pooling~1config.json/pooling_mode", Some(json!("lasttoken")), "lasttoken"),
        ("1_Pooling~1config.json/pooling_mode", Some(json!(["mean", "cls"])), "must be text"),
        ("sentence_bert_config.json/max_seq_length", Some(json!(0)), "max_seq_length"),
        ("sentence_bert_config.json/max_seq_length", Some(json!(-5)), "max_seq_length"),
        ("sentence_bert_config.json", Some(json!(3)), "not a JSON object"),
    ];
    for (pointer, value, part) in cases {
        let told = match pointer.strip_prefix("1_Pooling~1config.json") {
            // The key itself has a slash.
            Some(rest) => match (rest.strip_prefix('/'), value) {
                (Some(field), Some(value)) => {
                    let mut files = bert.clone();
                    files["1_Pooling/config.json"][field] = value;
                    read(&files).expect_err(pointer).to_string()
                }
                (_, value) => {
                    let mut files = bert.clone();
                    let map = files.as_object_mut().expect("an object");
                    map.remove("1_Pooling/config.json");
                    map.extend(value.map(|value| ("1_Pooling/config.json".to_owned(), value)));
                    read(&files).expect_err(pointer).to_string()
                }
            },
            None => told(&bert, &format!("/{pointer}"), value),
        };
        assert!(told.contains(part), "{pointer}: {told}");
        assert!(!told.contains('\n') && !told.contains('\u{202e}'), "{told:?}");
    }
    let resnet = sound("resnet-tiny");
    for (field, value, part) in [
        ("crop_size", json!({"height": 32}), "`crop_size.width`"),
        ("crop_size", json!({"height": 0, "width": 1}), "`crop_size.height`"),
        ("crop_size", json!({"shortest_edge": 1_u64 << 40}), "`crop_size.shortest_edge`"),
        ("crop_size", json!("big"), "`crop_size`"),
        ("do_center_crop", json!("no"), "`do_center_crop`"),
    ] {
        let told = told(&resnet, &format!("/preprocessor_config.json/{field}"), Some(value));
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn the_longest_text_is_what_the_files_say_and_the_positions_allow() {
    let context = |files: &Value| read(files).unwrap().context();
    let mut files = sound("bert-tiny");
    assert_eq!(context(&files), Some(32));
    files["sentence_bert_config.json"]["max_seq_length"] = Value::Null;
    assert_eq!(context(&files), Some(48));
    for unbounded in [json!(1e30), json!(1_000_000)] {
        files["tokenizer_config.json"]["model_max_length"] = unbounded;
        assert_eq!(context(&files), Some(64));
    }
    files["config.json"]["model_type"] = json!("roberta");
    assert_eq!(context(&files), Some(62));
}

#[test]
fn the_largest_allowed_sizes_do_not_overflow() {
    let (size, layers) = (1_usize << 20, 1024);
    let mut bert = sound("bert-tiny");
    for field in ["hidden_size", "intermediate_size", "type_vocab_size", "num_attention_heads"] {
        bert["config.json"][field] = json!(size);
    }
    bert["config.json"]["num_hidden_layers"] = json!(layers);
    bert["config.json"]["vocab_size"] = json!(1 << 24);
    bert["config.json"]["max_position_embeddings"] = json!(1 << 27);
    let mut vit = sound("vit-tiny");
    for field in ["hidden_size", "intermediate_size"] {
        vit["config.json"][field] = json!(size);
    }
    for (field, value) in [("image_size", 1 << 14), ("patch_size", 1 << 14), ("num_channels", 64)] {
        vit["config.json"][field] = json!(value);
    }
    let mut resnet = sound("resnet-tiny");
    resnet["config.json"]["hidden_sizes"] = json!(vec![size; 16]);
    resnet["config.json"]["depths"] = json!(vec![layers; 16]);
    resnet["config.json"]["layer_type"] = json!("basic");
    for files in [bert, vit, resnet] {
        let parameters = read(&files).unwrap().parameters();
        assert!(
            parameters > 1 << 40
                && parameters.checked_mul(4).is_some_and(|n| i64::try_from(n).is_ok())
        );
    }
}

/// Pointers to every value of a JSON document.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    let mut inner = |name: &str, value: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        out.push(format!("{at}/{name}"));
        places(value, &format!("{at}/{name}"), out);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| inner(name, value)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| inner(&i.to_string(), value));
        }
        _ => {}
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(|b| json!(b)),
        (0_i64..70).prop_map(|n| json!(n)),
        (0_u32..64).prop_map(|bits| json!(1_u64 << bits)),
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|x| json!(x)),
        ".{0,6}".prop_map(|text| json!(text)),
        Just(json!("bert")),
        Just(json!([])),
        Just(json!({})),
        proptest::collection::vec(0_u64..9, 0..4).prop_map(|list| json!(list)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A mutated folder is refused, or describes networks whose numbers hold together.
    #[test]
    fn mutated_configurations_never_panic(
        which in 0_usize..6,
        mutations in proptest::collection::vec((any::<prop::sample::Index>(), value()), 1..4),
    ) {
        let mut files = folders().swap_remove(which);
        for (place, value) in mutations {
            let mut all = Vec::new();
            places(&files, "", &mut all);
            let pointer = &all[place.index(all.len())];
            *files.pointer_mut(pointer).expect("it was found there") = value;
        }
        match read(&files) {
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
            Ok(config) => {
                let parameters = config.parameters();
                prop_assert!(parameters > 0 && i64::try_from(u128::from(parameters) * 8).is_ok());
                for (name, shape) in config.tensors() {
                    prop_assert!(shape.iter().all(|&side| side > 0), "{name}");
                }
                let networks = config.networks().expect("no decoder is made by these mutations");
                for network in networks.parts.values().filter(|n| n.nodes.len() < 1000) {
                    let mut weight = |name: &str, _: crate::model::network::onnx::Wanted<'_>| {
                        Ok::<_, ModelError>(TensorProto { name: Some(name.to_owned()), ..TensorProto::default() })
                    };
                    let graph = graph(network, networks.task, networks.family, &mut weight).expect("no weight fails");
                    prop_assert!(graph.graph.is_some());
                    let outputs = network.signature().outputs;
                    prop_assert_eq!(outputs.len(), 1);
                }
            }
        }
    }
}
