# The arguments of an evaluator, in the order in which airlock's nix-instantiate puts them.
rec {
  # What is passed for one argument of the expression's.
  argument = name: value:
    if builtins.isString value || builtins.isPath value then [ "--argstr" name "${value}" ]
    else if builtins.isAttrs value && value ? outPath then [ "--argstr" name "${value}" ]
    else if builtins.isAttrs value && value ? expr then [ "--arg" name value.expr ]
    else if builtins.isBool value || builtins.isInt value || value == null then [ "--arg" name (builtins.toJSON value) ]
    else throw "airlock: the argument ${name} is neither a string, number, truth value nor { expr = \"…\"; }";

  words = { file ? null, expr ? null, attrs ? [ ], args ? { } }:
    assert (file == null) != (expr == null) || throw "airlock: either `file` or `expr` says what is evaluated";
    (if file != null then [ "${file}" ] else [ "-E" expr ])
    ++ builtins.concatMap (attribute: [ "-A" attribute ]) attrs
    ++ builtins.concatMap (name: argument name args.${name}) (builtins.attrNames args);
}
