//! Positions that nothing reads are not computed.
//!
//! A network that ends at one position of each item, such as the class token, needs its last layer
//! there only: what works on each position by itself (linear maps, norms, activations and sums of
//! such values) gives the same when the position is picked before it. The pick so moves up to the
//! last attention and to the residual beside it. Of a transformer of twelve layers this saves
//! about a sixteenth of the products.

use std::collections::HashMap;

use super::{Network, Node, Op, Value};

impl Network {
    /// The same function with its one pick of a position as early as it can be.
    #[must_use]
    pub fn narrowed(self) -> Self {
        let is_pick = |node: &Node| matches!(node.op, Op::FirstPosition | Op::PositionOf { .. });
        let mut picks = (0..self.nodes.len()).filter(|&at| is_pick(&self.nodes[at]));
        let (Some(pick), None) = (picks.next(), picks.next()) else { return self };
        let late = self.picked(pick);
        let Some(first) = late.iter().position(|&late| late) else { return self };
        // Where the position is told by a value, that value must be there before.
        if self.nodes[pick].inputs[1..].iter().any(|told| told.0 >= first) {
            return self;
        }
        let mut new = Self { inputs: self.inputs.clone(), ..Self::default() };
        let mut values: Vec<Value> = Vec::with_capacity(self.nodes.len());
        let mut early: HashMap<usize, Value> = HashMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for &Value(input) in &node.inputs {
                inputs.push(match (late[at] && !late[input], early.get(&input)) {
                    (false, _) => values[input],
                    (true, Some(&known)) => known,
                    (true, None) => {
                        let Node { name, op, inputs } = &self.nodes[pick];
                        let name = format!("{name}.{}", self.nodes[input].name);
                        let others = inputs[1..].iter().map(|&Value(other)| values[other]);
                        let of: Vec<Value> = [values[input]].into_iter().chain(others).collect();
                        let made = new.node(name, op.clone(), &of);
                        early.insert(input, made);
                        made
                    }
                });
            }
            // What is picked late already has its one position.
            values.push(if at == pick && late[node.inputs[0].0] {
                inputs[0]
            } else {
                new.node(node.name.clone(), node.op.clone(), &inputs)
            });
        }
        new.output = self.output.map(|(port, Value(value))| (port, values[value]));
        new
    }

    /// For each node whether it may come after the pick: it works on each position by itself, and
    /// nothing but the pick and others of this kind reads it.
    fn picked(&self, pick: usize) -> Vec<bool> {
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|input| users[input.0].push(at));
        }
        let output = self.output.as_ref().map(|(_, value)| value.0);
        let mut late = vec![false; self.nodes.len()];
        for at in (0..pick).rev() {
            let node = &self.nodes[at];
            let alone = match node.op {
                Op::Linear(_) | Op::LayerNorm { .. } | Op::Activation(_) => true,
                Op::Add => node.inputs.iter().all(|input| self.has_positions(input.0)),
                _ => false,
            };
            let read = |&user: &usize| {
                // As the value that is picked from, not as the ids that say where.
                late[user] || (user == pick && self.nodes[pick].inputs[0].0 == at)
            };
            late[at] = alone
                && self.has_positions(at)
                && output != Some(at)
                && !users[at].is_empty()
                && users[at].iter().all(read);
        }
        late
    }

    /// Whether a value is (batch, positions, features).
    fn has_positions(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        match node.op {
            Op::Embedding { .. } | Op::Attention { .. } | Op::Patches | Op::Prepend { .. } => true,
            Op::Linear(_) | Op::LayerNorm { .. } | Op::Activation(_) | Op::Add => {
                self.has_positions(node.inputs[0].0)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Activation, Linear, Network, Op, Value, Weight};

    fn layer(n: &mut Network, x: Value) -> Value {
        let of = |name: &str| Linear::new(name, 4, 4);
        let (query, key, value) = (of("q"), of("k"), of("v"));
        let attention = Op::Attention { heads: 2, query, key, value, causal: false };
        let y = n.node("attention", attention, &[x]);
        let y = n.linear("output", of("o"), y);
        let x = n.add("attention_sum", y, x);
        let y = n.activate("activation", Activation::Relu, x);
        n.add("sum", y, x)
    }

    fn tokens(n: &mut Network) -> (Value, Value) {
        let ids = n.tokens("ids");
        let table = |name: &str| Weight::new(name, &[8, 4]);
        let x = n.node("tokens", Op::Embedding { table: table("t") }, &[ids]);
        let positions = Op::Positions { table: table("p"), first: 0 };
        let positions = n.node("positions", positions, &[ids]);
        (ids, n.add("embeddings", x, positions))
    }

    fn names(n: &Network) -> Vec<&str> {
        n.nodes.iter().map(|node| node.name.as_str()).collect()
    }

    #[test]
    fn a_pick_moves_up_to_the_attention_and_to_what_is_added_to_it() {
        for op in [Op::FirstPosition, Op::PositionOf { id: Some(3) }] {
            let mut n = Network::default();
            let (ids, x) = tokens(&mut n);
            let x = layer(&mut n, x);
            let inputs = if op == Op::FirstPosition { vec![x] } else { vec![x, ids] };
            let x = n.node("pick", op.clone(), &inputs);
            let x = n.linear("head", Linear::new("h", 4, 2), x);
            n.output("out", 2, x);
            let weights = n.weights();
            let n = n.narrowed();
            let expected = [
                "ids",
                "tokens",
                "positions",
                "embeddings",
                "attention",
                "pick.attention",
                "output",
                "pick.embeddings",
                "attention_sum",
                "activation",
                "sum",
                "head",
            ];
            assert_eq!(names(&n), expected);
            assert_eq!(n.weights(), weights);
            // The residual is the picked one, and the head reads the sum itself.
            assert_eq!(n.nodes[8].inputs, [Value(6), Value(7)]);
            assert_eq!(n.nodes[11].inputs, [Value(10)]);
            assert_eq!(n.nodes[7].inputs.len(), inputs.len());
            assert_eq!(n.output.as_ref().unwrap().1, Value(11));
        }
    }

    #[test]
    fn values_that_are_read_at_every_position_stay_whole() {
        let mut n = Network::default();
        let (_, x) = tokens(&mut n);
        let whole = layer(&mut n, x);
        let x = n.node("pick", Op::FirstPosition, &[whole]);
        // Something else reads the sum.
        let mean = n.node("mean", Op::MeanPositions, &[whole, whole]);
        let x = n.add("both", x, mean);
        n.output("out", 4, x);
        assert_eq!(n.clone().narrowed(), n);
        // Positions are added to tokens, not to one of them.
        let mut n = Network::default();
        let (_, x) = tokens(&mut n);
        let x = n.node("pick", Op::FirstPosition, &[x]);
        n.output("out", 4, x);
        assert_eq!(n.clone().narrowed(), n);
    }
}
