//! A convolution that cuts a picture into patches, as a matrix product.
//!
//! Where windows neither overlap nor leave anything out (stride = side, no padding), each window
//! is read once, and the convolution is `MatMul` of the windows (b, patches, c·side·side) with the
//! weight (c·side·side, outputs): the same products in the order of another kernel. Quantization
//! then treats it like every other product.

use super::{Convolution, Graph, Linear, Node, Op, Value, Weight};
use crate::model::onnx::AttributeProto;
use crate::model::signature::Dim;

/// A convolution that only cuts patches.
struct Cut<'a> {
    node: &'a Node,
    of: &'a Convolution,
    /// Patches in a column and in a row.
    count: [usize; 2],
}

impl<'n, E> Graph<'n, E> {
    /// Whether the convolution `number` is computed where its patches become positions.
    pub(super) fn is_cut(&self, number: usize) -> bool {
        let inputs = |node: &Node| node.inputs.iter().any(|input| input.node() == number);
        let mut users = self.network.nodes.iter().filter(|node| inputs(node));
        let only = (users.next(), users.next());
        matches!(only, (Some(user), None) if self.cut(user).is_some())
    }

    /// The convolution before `patches`, if it cuts a picture of known size.
    fn cut(&self, patches: &Node) -> Option<Cut<'n>> {
        let network = self.network;
        let node = &network.nodes[patches.inputs.first()?.node()];
        let (Op::Patches, Op::Convolution(of)) = (&patches.op, &node.op) else { return None };
        let Op::Input(number) = network.nodes[node.inputs.first()?.node()].op else { return None };
        let side = of.stride;
        let [_, _, Dim::Fixed(height), Dim::Fixed(width)] = network.inputs[number].shape[..] else {
            return None;
        };
        let whole = |size: u64| (size as usize).is_multiple_of(side);
        let fits = of.weight.shape[2..] == [side; 2] && of.padding == 0;
        (fits && whole(height) && whole(width)).then(|| Cut {
            node,
            of,
            count: [height as usize / side, width as usize / side],
        })
    }

    /// `patches` as a product with the picture `x`; `None` where it is none.
    pub(super) fn cut_patches(&mut self, patches: &Node, x: &Value) -> Option<Result<Value, E>> {
        let Cut { node, of, count: [rows, columns] } = self.cut(patches)?;
        if !self.is_cut(patches.inputs[0].node()) {
            return None;
        }
        let at = format!("/{}", node.name.replace('.', "/"));
        let (side, channels) = (of.stride as i64, of.weight.shape[1] as i64);
        let (rows, columns) = (rows as i64, columns as i64);
        let grid = [0, channels, rows, side, columns, side];
        let grid = self.b.constant(&format!("{at}/grid/sizes"), &[6], &grid);
        let grid = self.b.op(&format!("{at}/grid"), "Reshape", &[x, &grid]);
        let order = vec![AttributeProto::of_ints("perm", &[0, 2, 4, 1, 3, 5])];
        let windows = self.b.op_with(&format!("{at}/windows"), "Transpose", &[&grid], order);
        let inputs = channels * side * side;
        let flat = [0, rows * columns, inputs];
        let flat = self.b.constant(&format!("{at}/flat/sizes"), &[3], &flat);
        let flat = self.b.op(&format!("{at}/flat"), "Reshape", &[&windows, &flat]);
        let shape = [of.weight.shape[0], inputs as usize];
        let weight = Weight::new(&of.weight.name, &shape);
        let linear = Linear { weight, bias: of.bias.clone() };
        Some(self.linear(&at, &[&linear], &flat))
    }
}
