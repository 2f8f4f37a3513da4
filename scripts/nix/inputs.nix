# What a derivation is given, checked: each function gives text with its context, or ends in the one sentence that `fail`
# makes of it. `what` is how the sentence calls the value.
fail:
let
  inherit (builtins)
    attrNames
    concatStringsSep
    elemAt
    genList
    hasContext
    head
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isString
    length
    match
    stringLength
    substring
    typeOf
    ;

  isPath = value: typeOf value == "path";
  isPackage = value: isAttrs value && value ? outPath;
  # In pure evaluation there is no builtins.storePath, nor a need for it: what lies in the store has its context there.
  mayName = builtins ? currentSystem;
  inStore = text: substring 0 (stringLength builtins.storeDir + 1) text == builtins.storeDir + "/";
  isStorePath = text: dirOf text == builtins.storeDir;
  # A link would be copied as one, and lead to what is no input.
  isLink = path: mayName && (builtins.readDir (dirOf path)).${baseNameOf path} or "" == "symlink";

  each =
    f: what: values:
    if isList values then
      genList (i: f "${what}[${toString i}]" (elemAt values i)) (length values)
    else
      fail "${what} is of type ${typeOf values}, and has to be a list";
in
rec {
  inherit each isPackage isPath;

  # What is not an input of the derivation is not there inside.
  input =
    what: value:
    if isFunction value then
      fail "${what} is a function, which cannot be handed to another evaluation: write it to a file and give that"
    else if isPath value then
      # Not copied a second time, where it can be told.
      if mayName && isStorePath (toString value) || isLink value then builtins.storePath value else "${value}"
    else if isPackage value then
      "${value}"
    else if isString value && hasContext value then
      value
    else if isString value && inStore value && mayName then
      builtins.storePath value
    else if isString value then
      fail "${what} is the string '${head (match "([^\n]*).*" value)}', which is no store path: give a path (./file) or a package"
    else
      fail "${what} is of type ${typeOf value}, and has to be a path or a package";

  inputs = each input;

  # The package's folder of programs, in the output that has it.
  bin =
    what: value:
    let
      package = if isAttrs value && !(value.outputSpecified or false) then value.bin or value.out or value else value;
    in
    "${input what package}/bin";

  # A variable's text, as Nix makes it of an attribute.
  variable =
    what: value:
    if isString value then
      value
    else if isPath value || isPackage value then
      input what value
    else if isInt value then
      toString value
    else if isBool value then
      (if value then "1" else "")
    else
      fail "${what} is of type ${typeOf value}, and has to be a string, a number, a boolean, a path or a package";

  # Lines of nix.conf.
  setting =
    what: value:
    if isBool value then
      (if value then "true" else "false")
    else if isList value then
      concatStringsSep " " (each variable what value)
    else
      variable what value;
  settings =
    what: values: concatStringsSep "" (map (name: "${name} = ${setting "${what}.${name}" values.${name}}\n") (attrNames values));
}
