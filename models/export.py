# SPDX-License-Identifier: Apache-2.0
"""The trained parts as one ONNX graph.

Inputs, for B windows: `dense` f32[B, D], `index` i64[B, N] and `value` f32[B, N] (hashed features; padding points to
the row of zeros behind the last). Output `probability` f32[B].
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def below(threshold):
    """The largest f32 that is not above `threshold`: `x <= threshold` is then the same for every f32 x."""
    rounded = np.float32(threshold)
    return float(np.nextafter(rounded, np.float32(-np.inf))) if float(rounded) > threshold else float(rounded)


def tree_attributes(booster):
    """LightGBM's trees as the attributes of a TreeEnsembleRegressor."""
    names = "nodes_treeids nodes_nodeids nodes_featureids nodes_values nodes_modes nodes_truenodeids nodes_falsenodeids".split()
    out = {name: [] for name in names}
    out.update(target_treeids=[], target_nodeids=[], target_ids=[], target_weights=[])

    def add(tree, node, counter):
        own = counter[0]
        counter[0] += 1
        leaf = "leaf_value" in node
        slot = len(out["nodes_nodeids"])
        out["nodes_treeids"].append(tree)
        out["nodes_nodeids"].append(own)
        out["nodes_featureids"].append(0 if leaf else node["split_feature"])
        out["nodes_values"].append(0.0 if leaf else below(node["threshold"]))
        out["nodes_modes"].append("LEAF" if leaf else "BRANCH_LEQ")
        out["nodes_truenodeids"].append(0)
        out["nodes_falsenodeids"].append(0)
        if leaf:
            out["target_treeids"].append(tree)
            out["target_nodeids"].append(own)
            out["target_ids"].append(0)
            out["target_weights"].append(float(node["leaf_value"]))
        else:
            if node["decision_type"] != "<=":
                raise ValueError(f"a split by {node['decision_type']} has no counterpart here")
            out["nodes_truenodeids"][slot] = add(tree, node["left_child"], counter)
            out["nodes_falsenodeids"][slot] = add(tree, node["right_child"], counter)
        return own

    for tree, info in enumerate(booster.dump_model()["tree_info"]):
        add(tree, info["tree_structure"], [0])
    return out


def graph(parts, dense, sparse, metadata):
    """The model file's bytes.

    `parts`: `hashed` f32[sparse], `dense` f32[D], `bias`, `linear_weight`; `trees` (a booster), `tree_weight`;
    `scale` and `offset` of the final logistic function.
    """
    constants, nodes, terms = [], [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    constant("one", np.array([1], dtype=np.int64))

    table = np.concatenate([parts["hashed"], [0.0]]).astype(np.float32)
    node("Gather", [constant("hashed_weight", table), "index"], "hashed_gathered", axis=0)
    node("Mul", ["hashed_gathered", "value"], "hashed_terms")
    node("ReduceSum", ["hashed_terms", "one"], "hashed_sum", keepdims=1)
    node("MatMul", ["dense", constant("dense_weight", parts["dense"].astype(np.float32)[:, None])], "dense_sum")
    node("Add", ["hashed_sum", "dense_sum"], "linear_sum")
    node("Mul", ["linear_sum", constant("linear_scale", np.float32(parts["linear_weight"] * parts["scale"]))], "linear")
    terms.append("linear")
    offset = parts["scale"] * parts["linear_weight"] * parts["bias"] + parts["offset"]

    node("TreeEnsembleRegressor", ["dense"], "trees_sum", domain="ai.onnx.ml", n_targets=1, aggregate_function="SUM", post_transform="NONE", **tree_attributes(parts["trees"]))
    node("Mul", ["trees_sum", constant("trees_scale", np.float32(parts["tree_weight"] * parts["scale"]))], "trees")
    terms.append("trees")

    node("Sum", terms, "weighted")
    node("Add", ["weighted", constant("offset", np.float32(offset))], "logit")
    node("Sigmoid", ["logit"], "column")
    node("Squeeze", ["column", "one"], "probability")

    inputs = [
        helper.make_tensor_value_info("dense", TensorProto.FLOAT, ["B", dense]),
        helper.make_tensor_value_info("index", TensorProto.INT64, ["B", "N"]),
        helper.make_tensor_value_info("value", TensorProto.FLOAT, ["B", "N"]),
    ]
    outputs = [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["B"])]
    model = helper.make_model(
        helper.make_graph(nodes, "exec-classifier", inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)],
        producer_name="lictor",
    )
    model.ir_version = 8
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    return model.SerializeToString()
