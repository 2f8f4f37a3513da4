# recursive { name, nix, script, … }: a derivation that runs Nix inside its own build, in an environment that says
# everything an inner evaluation of <nixpkgs> would otherwise take from the user's machine. See docs/recursive.md.
args:
let
  inherit (builtins)
    all
    any
    attrNames
    attrValues
    concatStringsSep
    elem
    filter
    head
    isAttrs
    isBool
    isFunction
    isList
    isString
    length
    listToAttrs
    mapAttrs
    match
    replaceStrings
    stringLength
    toJSON
    typeOf
    ;
  fail = sentence: throw "airlock's recursive: ${sentence}";
  checked = import ./inputs.nix fail;
  inherit (checked) bin each input inputs;

  required = [
    "name"
    "nix"
    "script"
  ];
  optional = [
    "attributes"
    "config"
    "locks"
    "nixpkgs"
    "overlays"
    "path"
    "settings"
    "shell"
    "system"
  ];
  # As mkDerivation has them; they may stand in `attributes` as well.
  common = [
    "__structuredAttrs"
    "buildInputs"
    "env"
    "meta"
    "nativeBuildInputs"
    "outputs"
    "passthru"
  ];
  known = required ++ optional ++ common;
  # What is null is not given.
  has = argument: args.${argument} or null != null;
  complete =
    let
      missing = filter (argument: !(has argument)) required;
      unknown = filter (argument: !(elem argument known)) (attrNames args);
      misplaced = filter (argument: attributes ? ${argument}) (required ++ [ "system" ]);
      replacing = filter (attribute: attributes ? ${attribute}) [ "args" "builder" ];
      twice = filter (argument: has argument && attributes ? ${argument}) common;
    in
    if !(isAttrs args) then
      fail "it takes a set: recursive { name = …; nix = …; script = …; }"
    else if missing != [ ] then
      fail "'${head missing}' is missing"
    else if unknown != [ ] then
      fail "there is no argument '${head unknown}' (other attributes of the derivation go into 'attributes'); there are ${concatStringsSep ", " known}"
    else if misplaced != [ ] then
      fail "attributes.${head misplaced} is an argument of its own: give '${head misplaced}' beside 'attributes'"
    else if replacing != [ ] then
      fail "attributes.${head replacing} would replace what runs 'script': leave it out, or write the derivation by hand"
    else if twice != [ ] then
      fail "'${head twice}' is there twice, as an argument and in 'attributes': remove one"
    else
      true;

  # typed NAME DEFAULT TEST KIND: the argument, or one sentence.
  typed =
    name: default: test: kind:
    let
      value = if has name then args.${name} else default;
    in
    if test value then value else fail "'${name}' is of type ${typeOf value}, and has to be ${kind}";
  isNames = value: isList value && value != [ ] && all isString value;
  withoutNull = filter (value: value != null);

  name = typed "name" null isString "a string";
  script = typed "script" null isString "a string: what the shell runs inside";
  overlays = typed "overlays" [ ] isList "a list of files";
  locks = typed "locks" [ ] isList "a list of files";
  path = withoutNull (typed "path" [ ] isList "a list of packages");
  settings = typed "settings" { } isAttrs "a set: what stands in nix.conf";
  attributes = typed "attributes" { } isAttrs "a set: more attributes of the derivation";
  structured = typed "__structuredAttrs" (attributes.__structuredAttrs or false) isBool "true or false";
  buildInputs = withoutNull (typed "buildInputs" (attributes.buildInputs or [ ]) isList "a list of packages");
  nativeBuildInputs = withoutNull (typed "nativeBuildInputs" (attributes.nativeBuildInputs or [ ]) isList "a list of packages");
  env = typed "env" (attributes.env or { }) isAttrs "a set of variables";
  meta = typed "meta" (attributes.meta or { }) isAttrs "a set";
  outputs = typed "outputs" (attributes.outputs or [ "out" ]) isNames "a list of names";
  passthru = typed "passthru" (attributes.passthru or { }) isAttrs "a set";
  system = typed "system" (
    builtins.currentSystem or (fail "'system' is missing, and in pure evaluation there is no default for it")
  ) isString "a string";
  shell = if has "shell" then "${bin "shell" args.shell}/sh" else "/bin/sh";

  # A file whose text may refer to what is still to be built.
  file =
    fileName: text:
    derivation {
      inherit system text;
      name = fileName;
      builder = shell;
      args = [
        "-c"
        ''printf '%s\n' "$text" >"$out"''
      ];
    };

  # Nixpkgs takes <nixpkgs-overlays> for a file that is a list, or a folder; a file keeps the order.
  overlayFile = file "overlays.nix" (
    "[\n" + concatStringsSep "" (map (overlay: "  (import ${overlay})\n") (inputs "overlays" overlays)) + "]"
  );

  holdsFunction =
    value:
    isFunction value
    || (isList value && any holdsFunction value)
    || (isAttrs value && !(value ? outPath) && any holdsFunction (attrValues value));
  # A JSON string is a Nix string but for what begins an interpolation.
  asNixString = text: replaceStrings [ "\${" ] [ "\\\${" ] (toJSON text);
  configFile =
    if !(isAttrs args.config) || args.config ? outPath then
      input "config" args.config
    else if holdsFunction args.config then
      fail "'config' holds a function, which cannot be handed to another evaluation: write the configuration to a file and give that"
    else
      file "config.nix" "builtins.fromJSON ${asNixString (toJSON args.config)}";

  # What an attribute says is added to what an argument of its kind says.
  listed =
    attribute:
    let
      value = attributes.${attribute} or [ ];
    in
    if isList value then value else fail "attributes.${attribute} is of type ${typeOf value}, and has to be a list";
  nixPath =
    (if has "nixpkgs" then [ "nixpkgs=${input "nixpkgs" args.nixpkgs}" ] else [ ])
    ++ (if overlays == [ ] then [ ] else [ "nixpkgs-overlays=${overlayFile}" ])
    ++ listed "airlockNixPath";
  lockFiles = inputs "locks" locks ++ listed "airlockLocks";
  settingLines =
    let
      more = attributes.airlockNixConfig or "";
    in
    checked.settings "settings" settings
    + (
      if isAttrs more then
        checked.settings "attributes.airlockNixConfig" more
      else if isList more then
        concatStringsSep "\n" more
      else if isString more then
        more
      else
        fail "attributes.airlockNixConfig is of type ${typeOf more}, and has to be lines of nix.conf or a set"
    );
  features = listed "requiredSystemFeatures";
  PATH = concatStringsSep ":" (
    each bin "path" path
    ++ [ (bin "nix" args.nix) ]
    ++ each bin "nativeBuildInputs" nativeBuildInputs
    ++ each bin "buildInputs" buildInputs
    ++ (if has "shell" then [ (bin "shell" args.shell) ] else [ ])
    ++ (if attributes ? PATH then [ attributes.PATH ] else [ ])
  );

  when = condition: set: if condition then set else { };
  # The derivation's own variables; `env` may not take their place.
  variables = { inherit PATH; } // when (has "config") { NIXPKGS_CONFIG = "${configFile}"; };
  plain =
    attribute: value:
    if isAttrs value && !(value ? outPath || value ? __toString) && !structured then
      fail "attributes.${attribute} is a set, which only structured attributes hold: add __structuredAttrs = true, or make text of it"
    else
      value;
  others =
    when (nixPath != [ ]) { airlockNixPath = nixPath; }
    // when (settingLines != "") { airlockNixConfig = settingLines; }
    // when (lockFiles != [ ]) { airlockLocks = lockFiles; }
    // when (nativeBuildInputs != [ ]) { nativeBuildInputs = inputs "nativeBuildInputs" nativeBuildInputs; }
    // when (buildInputs != [ ]) { buildInputs = inputs "buildInputs" buildInputs; }
    // when (outputs != [ "out" ]) { inherit outputs; }
    // {
      requiredSystemFeatures = features ++ (if elem "airlock" features then [ ] else [ "airlock" ]);
    };
  merged = attrNames others ++ common ++ [
    "PATH"
    "airlockLocks"
    "airlockNixConfig"
    "airlockNixPath"
    "passAsFile"
  ];
  rest = mapAttrs plain (removeAttrs attributes merged);
  ours = { inherit name system script; builder = shell; args = [ ]; } // variables // others // rest;
  clash = filter (variable: ours ? ${variable}) (attrNames env) ++ filter (variable: variables ? ${variable}) (attrNames rest);
  environment =
    if clash != [ ] then
      fail "the variable '${head clash}' is there twice: remove it from 'env' or 'attributes', or what makes it"
    else
      variables // mapAttrs (variable: checked.variable "env.${variable}") env;

  # With structured attributes Nix sets no variable, and writes no file for one. Its 2.8 does not know what the files are
  # called inside.
  assignment =
    variable: text:
    if match "[a-zA-Z_][a-zA-Z0-9_]*" variable == null then
      fail "env.${variable} is no name that a shell's variable can have"
    else
      "export ${variable}='${replaceStrings [ "'" ] [ "'\\''" ] text}'\n";
  assignments =
    set: concatStringsSep "" (map (variable: assignment variable set.${variable}) (attrNames set));
  structuredScript =
    ''
      if ! [ -e "''${NIX_ATTRS_JSON_FILE-}" ]; then
        export NIX_ATTRS_JSON_FILE="$NIX_BUILD_TOP/.attrs.json" NIX_ATTRS_SH_FILE="$NIX_BUILD_TOP/.attrs.sh"
      fi
    ''
    + assignments (
      listToAttrs (map (output: { name = output; value = builtins.placeholder output; }) outputs)
      // { outputs = concatStringsSep " " outputs; }
      // environment
    )
    + ". /nix/var/airlock/env\n"
    + script;
  # Linux takes no longer word.
  bounded =
    text:
    if stringLength text < 131072 then
      text
    else
      fail "'script' is too long for structured attributes: put it into a file, and source that";

  made = derivation (
    {
      inherit name system;
      builder = shell;
    }
    // (
      if structured then
        {
          __structuredAttrs = true;
          args = [ "-euc" (bounded structuredScript) ];
        }
        // when (env != { }) { env = mapAttrs (variable: checked.variable "env.${variable}") env; }
      else
        {
          inherit script;
          args = [
            "-euc"
            ''. /nix/var/airlock/env; . "$scriptPath"''
          ];
          passAsFile = listed "passAsFile" ++ [ "script" ];
        }
        // environment
    )
    // rest
    // others
  );
  # As mkDerivation's: every output has what passthru has.
  whole =
    made
    // listToAttrs (map (output: { name = output; value = one output; }) outputs)
    // { all = map one outputs; }
    // passthru
    // { inherit meta passthru; };
  one =
    output:
    whole // { inherit (made.${output}) outPath drvPath type outputName; outputSpecified = true; };
in
assert complete;
whole
