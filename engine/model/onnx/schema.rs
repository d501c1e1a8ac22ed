//! Which fields the messages of an ONNX file have: number, name, and what may stand there.
//!
//! The same fields as in `proto.rs`, as data: the walker looks at a message with this table before
//! anything is decoded, so that a fault is told with the names that `onnx.proto` gives.

use std::mem::size_of;

use super::proto::{self, AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Holds {
    Int,
    /// Any number of integers, one by one or packed.
    Ints,
    Float,
    Floats,
    Doubles,
    /// UTF-8.
    Text,
    Bytes,
    Message(&'static Message),
}

/// A kind of message.
pub(super) struct Message {
    /// Bytes that one of them takes in memory once it is decoded, what its fields point to not
    /// counted.
    pub size: usize,
    /// Number, name and content of its fields; at most [`MOST_FIELDS`].
    pub fields: &'static [(u64, &'static str, Holds)],
}

pub(super) const MOST_FIELDS: usize = 18;

use Holds::{Bytes, Doubles, Float, Floats, Int, Ints, Message as Of, Text};

const fn message<T>(fields: &'static [(u64, &'static str, Holds)]) -> Message {
    assert!(fields.len() <= MOST_FIELDS, "the walker counts occurrences of fewer fields");
    Message { size: size_of::<T>(), fields }
}

pub(super) static MODEL: Message = message::<ModelProto>(&[
    (1, "ir_version", Int),
    (2, "producer_name", Text),
    (3, "producer_version", Text),
    (4, "domain", Text),
    (5, "model_version", Int),
    (6, "doc_string", Text),
    (7, "graph", Of(&GRAPH)),
    (8, "opset_import", Of(&OPSET)),
    (14, "metadata_props", Of(&ENTRY)),
    (20, "training_info", Of(&TRAINING)),
    (25, "functions", Of(&FUNCTION)),
    (26, "configuration", Of(&DEVICES)),
]);

pub(super) static GRAPH: Message = message::<GraphProto>(&[
    (1, "node", Of(&NODE)),
    (2, "name", Text),
    (5, "initializer", Of(&TENSOR)),
    (10, "doc_string", Text),
    (11, "input", Of(&VALUE)),
    (12, "output", Of(&VALUE)),
    (13, "value_info", Of(&VALUE)),
    (14, "quantization_annotation", Of(&ANNOTATION)),
    (15, "sparse_initializer", Of(&SPARSE)),
    (16, "metadata_props", Of(&ENTRY)),
]);

static NODE: Message = message::<NodeProto>(&[
    (1, "input", Text),
    (2, "output", Text),
    (3, "name", Text),
    (4, "op_type", Text),
    (5, "attribute", Of(&ATTRIBUTE)),
    (6, "doc_string", Text),
    (7, "domain", Text),
    (8, "overload", Text),
    (9, "metadata_props", Of(&ENTRY)),
    (10, "device_configurations", Of(&NODE_DEVICES)),
]);

static ATTRIBUTE: Message = message::<AttributeProto>(&[
    (1, "name", Text),
    (2, "f", Float),
    (3, "i", Int),
    (4, "s", Bytes),
    (5, "t", Of(&TENSOR)),
    (6, "g", Of(&GRAPH)),
    (7, "floats", Floats),
    (8, "ints", Ints),
    (9, "strings", Bytes),
    (10, "tensors", Of(&TENSOR)),
    (11, "graphs", Of(&GRAPH)),
    (13, "doc_string", Text),
    (14, "tp", Of(&TYPE)),
    (15, "type_protos", Of(&TYPE)),
    (20, "type", Int),
    (21, "ref_attr_name", Text),
    (22, "sparse_tensor", Of(&SPARSE)),
    (23, "sparse_tensors", Of(&SPARSE)),
]);

pub(super) static TENSOR: Message = message::<TensorProto>(&[
    (1, "dims", Ints),
    (2, "data_type", Int),
    (3, "segment", Of(&SEGMENT)),
    (4, "float_data", Floats),
    (5, "int32_data", Ints),
    (6, "string_data", Bytes),
    (7, "int64_data", Ints),
    (8, "name", Text),
    (9, "raw_data", Bytes),
    (10, "double_data", Doubles),
    (11, "uint64_data", Ints),
    (12, "doc_string", Text),
    (13, "external_data", Of(&ENTRY)),
    (14, "data_location", Int),
    (16, "metadata_props", Of(&ENTRY)),
]);

static OPSET: Message =
    message::<proto::OperatorSetIdProto>(&[(1, "domain", Text), (2, "version", Int)]);

static ENTRY: Message =
    message::<proto::StringStringEntryProto>(&[(1, "key", Text), (2, "value", Text)]);

static SEGMENT: Message =
    message::<proto::TensorProtoSegment>(&[(1, "begin", Int), (2, "end", Int)]);

static SPARSE: Message = message::<proto::SparseTensorProto>(&[
    (1, "values", Of(&TENSOR)),
    (2, "indices", Of(&TENSOR)),
    (3, "dims", Ints),
]);

static VALUE: Message = message::<proto::ValueInfoProto>(&[
    (1, "name", Text),
    (2, "type", Of(&TYPE)),
    (3, "doc_string", Text),
    (4, "metadata_props", Of(&ENTRY)),
]);

static TYPE: Message = message::<proto::TypeProto>(&[
    (1, "tensor_type", Of(&TENSOR_TYPE)),
    (4, "sequence_type", Of(&SEQUENCE_TYPE)),
    (5, "map_type", Of(&MAP_TYPE)),
    (6, "denotation", Text),
    (7, "opaque_type", Of(&OPAQUE_TYPE)),
    (8, "sparse_tensor_type", Of(&TENSOR_TYPE)),
    (9, "optional_type", Of(&SEQUENCE_TYPE)),
]);

static TENSOR_TYPE: Message =
    message::<proto::TypeProtoTensor>(&[(1, "elem_type", Int), (2, "shape", Of(&SHAPE))]);

static SEQUENCE_TYPE: Message = message::<proto::TypeProtoSequence>(&[(1, "elem_type", Of(&TYPE))]);

static MAP_TYPE: Message =
    message::<proto::TypeProtoMap>(&[(1, "key_type", Int), (2, "value_type", Of(&TYPE))]);

static OPAQUE_TYPE: Message =
    message::<proto::TypeProtoOpaque>(&[(1, "domain", Text), (2, "name", Text)]);

static SHAPE: Message = message::<proto::TensorShapeProto>(&[(1, "dim", Of(&DIMENSION))]);

static DIMENSION: Message = message::<proto::TensorShapeProtoDimension>(&[
    (1, "dim_value", Int),
    (2, "dim_param", Text),
    (3, "denotation", Text),
]);

static ANNOTATION: Message = message::<proto::TensorAnnotation>(&[
    (1, "tensor_name", Text),
    (2, "quant_parameter_tensor_names", Of(&ENTRY)),
]);

static TRAINING: Message = message::<proto::TrainingInfoProto>(&[
    (1, "initialization", Of(&GRAPH)),
    (2, "algorithm", Of(&GRAPH)),
    (3, "initialization_binding", Of(&ENTRY)),
    (4, "update_binding", Of(&ENTRY)),
]);

static FUNCTION: Message = message::<proto::FunctionProto>(&[
    (1, "name", Text),
    (4, "input", Text),
    (5, "output", Text),
    (6, "attribute", Text),
    (7, "node", Of(&NODE)),
    (8, "doc_string", Text),
    (9, "opset_import", Of(&OPSET)),
    (10, "domain", Text),
    (11, "attribute_proto", Of(&ATTRIBUTE)),
    (12, "value_info", Of(&VALUE)),
    (13, "overload", Text),
    (14, "metadata_props", Of(&ENTRY)),
]);

static DEVICES: Message = message::<proto::DeviceConfigurationProto>(&[
    (1, "name", Text),
    (2, "num_devices", Int),
    (3, "device", Text),
]);

static NODE_DEVICES: Message = message::<proto::NodeDeviceConfigurationProto>(&[
    (1, "configuration_id", Text),
    (2, "sharding_spec", Of(&SHARDING)),
    (3, "pipeline_stage", Int),
]);

static SHARDING: Message = message::<proto::ShardingSpecProto>(&[
    (1, "tensor_name", Text),
    (2, "device", Ints),
    (3, "index_to_device_group_map", Of(&GROUP)),
    (4, "sharded_dim", Of(&SHARDED)),
]);

static GROUP: Message =
    message::<proto::IntIntListEntryProto>(&[(1, "key", Int), (2, "value", Ints)]);

static SHARDED: Message =
    message::<proto::ShardedDimProto>(&[(1, "axis", Int), (2, "simple_sharding", Of(&SIMPLE))]);

static SIMPLE: Message = message::<proto::SimpleShardedDimProto>(&[
    (1, "dim_value", Int),
    (2, "dim_param", Text),
    (3, "num_shards", Int),
]);
