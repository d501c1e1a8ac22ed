//! Where the nodes of a graph run: asked of ONNX Runtime once it has divided the graph among its
//! providers.

use std::ffi::{CStr, c_char};
use std::path::Path;
use std::ptr;

use indexmap::IndexMap;
use ort::AsPointer;
use ort::session::Session;
use ort::sys::{OrtEpAssignedNode, OrtEpAssignedSubgraph, OrtStatusPtr};

use super::device::Assigned;
use super::ort_environment::{builder, open_error, run_error};
use super::{BackendError, OpenOptions};
use crate::model::OnnxModel;

/// Asks the runtime to remember who was given which node.
const REMEMBER: &str = "session.record_ep_graph_assignment_info";

/// Nodes of a provider that are named.
const NAMED: usize = 10;

/// Opens `artifact` as `how` says and tells the providers of its nodes, as the runtime divided the
/// graph: before it merged nodes for a provider and without copies between devices, which it adds
/// later.
pub fn placed(artifact: &Path, how: &OpenOptions) -> Result<Vec<Assigned>, BackendError> {
    let model = OnnxModel::read(artifact)?;
    let session = builder(&model, how)?
        .with_config_entry(REMEMBER, "1")
        .map_err(|error| open_error(artifact, error.to_string()))?
        .commit_from_file(&model.path)
        .map_err(|error| open_error(artifact, error.to_string()))?;
    assigned(&session).map_err(run_error)
}

/// Nodes by provider, in the order in which the runtime lists them.
fn assigned(session: &Session) -> ort::Result<Vec<Assigned>> {
    let api = ort::api();
    let mut found: IndexMap<String, Assigned> = IndexMap::new();
    let mut graphs: *const *const OrtEpAssignedSubgraph = ptr::null();
    let mut count = 0;
    // SAFETY: the session is alive, and both pointers are to locals. What is handed out belongs to
    // the session and lives as long as it does; on success each list has as many entries as said.
    unsafe {
        check((api.Session_GetEpGraphAssignmentInfo)(
            session.ptr(),
            &raw mut graphs,
            &raw mut count,
        ))?;
        for i in 0..count {
            let graph = *graphs.add(i);
            let provider = text(|out| (api.EpAssignedSubgraph_GetEpName)(graph, out))?;
            let mut nodes: *const *const OrtEpAssignedNode = ptr::null();
            let mut length = 0;
            check((api.EpAssignedSubgraph_GetNodes)(graph, &raw mut nodes, &raw mut length))?;
            let entry = found.entry(provider.clone()).or_insert_with(|| Assigned {
                provider,
                nodes: 0,
                named: Vec::new(),
            });
            entry.nodes += length as u64;
            for j in 0..length.min(NAMED.saturating_sub(entry.named.len())) {
                let node = *nodes.add(j);
                let name = text(|out| (api.EpAssignedNode_GetName)(node, out))?;
                entry.named.push(match name.is_empty() {
                    true => text(|out| (api.EpAssignedNode_GetOperatorType)(node, out))?,
                    false => name,
                });
            }
        }
    }
    Ok(found.into_values().collect())
}

fn check(status: OrtStatusPtr) -> ort::Result<()> {
    // SAFETY: the status was just given by the runtime and is handed over once.
    unsafe { ort::Error::result_from_status(status) }
}

/// A text that `ask` leads to, copied.
fn text(ask: impl Fn(*mut *const c_char) -> OrtStatusPtr) -> ort::Result<String> {
    let mut found: *const c_char = ptr::null();
    check(ask(&raw mut found))?;
    if found.is_null() {
        return Ok(String::new());
    }
    // SAFETY: on success the runtime leaves a text that ends with zero and outlives the session's
    // use here.
    Ok(unsafe { CStr::from_ptr(found) }.to_string_lossy().into_owned())
}
