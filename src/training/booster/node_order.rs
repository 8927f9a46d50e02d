//! Numbers the nodes of each tree as XGBoost does: breadth first, so that the right child of every split is its left
//! child plus one. XGBoost relies on this wherever it walks down a tree with a single row, and for SHAP values. The
//! crate writes the children of a categorical split the other way round.

use serde_json::Value;
use std::collections::VecDeque;

/// The arrays of a tree with one entry per node.
const PER_NODE: [&str; 10] = [
    "base_weights",
    "default_left",
    "left_children",
    "loss_changes",
    "parents",
    "right_children",
    "split_conditions",
    "split_indices",
    "split_type",
    "sum_hessian",
];
/// The arrays whose entries are numbers of nodes.
const NODE_NUMBERS: [&str; 3] = ["left_children", "parents", "right_children"];
/// The arrays with one entry per categorical split, ordered by the number of its node.
const PER_CATEGORICAL: [&str; 3] = ["categories_nodes", "categories_segments", "categories_sizes"];

/// Renumbers the nodes of every tree of a model in XGBoost JSON. The error names the array that is not as it should be.
pub(super) fn renumber(trees: &mut Value) -> Result<(), String> {
    trees.as_array_mut().ok_or("the model document has no trees")?.iter_mut().try_for_each(renumber_tree)
}

fn renumber_tree(tree: &mut Value) -> Result<(), String> {
    let order = breadth_first(&numbers(tree, "left_children")?, &numbers(tree, "right_children")?)?;
    let mut new_numbers = vec![0_i64; order.len()];
    for (new, &old) in (0..).zip(&order) {
        new_numbers[old] = new;
    }
    // XGBoost marks "no such node" with numbers beyond the nodes: -1 for a child, 2^31 - 1 for the parent of the root.
    let renumbered = |old: i64| {
        let node = usize::try_from(old).ok().and_then(|old| new_numbers.get(old));
        node.copied().unwrap_or(old)
    };
    for name in PER_NODE {
        let entries = array(tree, name)?;
        if entries.len() != order.len() {
            return Err(format!("a tree has {} nodes and {} {name}", order.len(), entries.len()));
        }
        let mut moved: Vec<Value> = order.iter().map(|&old| entries[old].take()).collect();
        if NODE_NUMBERS.contains(&name) {
            for entry in &mut moved {
                *entry =
                    entry.as_i64().map(renumbered).ok_or_else(|| format!("{name} of a tree are no numbers"))?.into();
            }
        }
        *entries = moved;
    }
    let [nodes, segments, sizes] = PER_CATEGORICAL.map(|name| numbers(tree, name));
    let mut splits: Vec<(i64, i64, i64)> =
        nodes?.into_iter().zip(segments?).zip(sizes?).map(|((node, at), size)| (renumbered(node), at, size)).collect();
    splits.sort_unstable();
    tree["categories_nodes"] = splits.iter().map(|split| split.0).collect();
    tree["categories_segments"] = splits.iter().map(|split| split.1).collect();
    tree["categories_sizes"] = splits.iter().map(|split| split.2).collect();
    Ok(())
}

/// Returns the old numbers of the nodes in their new order.
fn breadth_first(left: &[i64], right: &[i64]) -> Result<Vec<usize>, String> {
    let mut order = Vec::with_capacity(left.len());
    let mut waiting = VecDeque::from([0]);
    while let Some(node) = waiting.pop_front() {
        let (Some(&left), Some(&right)) = (left.get(node), right.get(node)) else {
            return Err(format!("a tree has no node {node}"));
        };
        if order.len() == order.capacity() {
            return Err("a tree reaches a node twice".to_owned());
        }
        order.push(node);
        if let (Ok(left), Ok(right)) = (usize::try_from(left), usize::try_from(right)) {
            waiting.extend([left, right]);
        }
    }
    if order.len() == left.len() { Ok(order) } else { Err("a tree has nodes that it does not reach".to_owned()) }
}

fn array<'a>(tree: &'a mut Value, name: &str) -> Result<&'a mut Vec<Value>, String> {
    tree.get_mut(name).and_then(Value::as_array_mut).ok_or_else(|| format!("a tree has no {name}"))
}

fn numbers(tree: &Value, name: &str) -> Result<Vec<i64>, String> {
    let entries = tree.get(name).and_then(Value::as_array).ok_or_else(|| format!("a tree has no {name}"))?;
    entries.iter().map(|entry| entry.as_i64().ok_or_else(|| format!("{name} of a tree are no numbers"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_right_child_is_the_left_child_plus_one_and_each_node_keeps_what_it_is() {
        // The root and node 1 are categorical, and their children are written the other way round.
        let mut trees = json!([{
            "left_children": [2, 4, -1, -1, -1], "right_children": [1, 3, -1, -1, -1],
            "parents": [i32::MAX, 0, 0, 1, 1], "split_type": [1, 1, 0, 0, 0], "split_indices": [7, 8, 0, 0, 0],
            "split_conditions": [0.0, 0.0, 0.2, 0.3, 0.4], "default_left": [1, 0, 1, 1, 1],
            "base_weights": [0.0, 0.0, 0.2, 0.3, 0.4], "loss_changes": [5.0, 6.0, 0.0, 0.0, 0.0],
            "sum_hessian": [9.0, 8.0, 1.0, 4.0, 3.0], "categories": [3, 1, 2],
            "categories_nodes": [0, 1], "categories_segments": [0, 1], "categories_sizes": [1, 2],
        }]);
        renumber(&mut trees).unwrap();
        let tree = &trees[0];
        assert_eq!(tree["left_children"], json!([1, -1, 3, -1, -1]));
        assert_eq!(tree["right_children"], json!([2, -1, 4, -1, -1]));
        assert_eq!(tree["parents"], json!([i32::MAX, 0, 0, 2, 2]));
        assert_eq!(tree["split_conditions"], json!([0.0, 0.2, 0.0, 0.4, 0.3]));
        assert_eq!(tree["sum_hessian"], json!([9.0, 1.0, 8.0, 3.0, 4.0]));
        assert_eq!(tree["split_indices"], json!([7, 0, 8, 0, 0]));
        assert_eq!((&tree["categories_nodes"], &tree["categories_segments"]), (&json!([0, 2]), &json!([0, 1])));
        let before = trees.clone();
        renumber(&mut trees).unwrap();
        assert_eq!(trees, before);
    }

    #[test]
    fn a_tree_that_is_none_is_an_error() {
        let tree = |left: [i64; 3], right: [i64; 3]| json!([{"left_children": left, "right_children": right}]);
        for mut trees in
            [tree([1, 0, -1], [2, 1, -1]), tree([1, -1, -1], [9, -1, -1]), tree([-1; 3], [-1; 3]), json!(5)]
        {
            assert!(renumber(&mut trees).is_err(), "{trees}");
        }
    }
}
