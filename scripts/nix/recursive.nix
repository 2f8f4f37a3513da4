# recursive { name, nix, script, … }: a derivation that runs Nix inside its own build, in an environment that says
# everything an inner evaluation of <nixpkgs> would otherwise take from the user's machine. See docs/recursive.md.
args:
let
  inherit (builtins)
    any
    attrNames
    attrValues
    concatStringsSep
    elem
    filter
    genList
    hasContext
    isAttrs
    isFunction
    isList
    isString
    length
    replaceStrings
    toJSON
    typeOf
    ;
  fail = sentence: throw "airlock's recursive: ${sentence}";

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
  unknown = filter (name: !(elem name (required ++ optional))) (attrNames args);
  missing = filter (name: !(args ? ${name})) required;
  complete =
    if !(isAttrs args) then
      fail "it takes a set: recursive { name = …; nix = …; script = …; }"
    else if missing != [ ] then
      fail "'${builtins.head missing}' is missing"
    else if unknown != [ ] then
      fail "there is no argument '${builtins.head unknown}'; there are ${concatStringsSep ", " (required ++ optional)}"
    else
      true;

  # typed NAME TEST KIND: the argument, or one sentence.
  typed =
    name: default: test: kind:
    let
      value = args.${name} or default;
    in
    if test value then value else fail "'${name}' is of type ${typeOf value}, and has to be ${kind}";

  name = typed "name" null isString "a string";
  script = typed "script" null isString "a string: what the shell runs inside";
  overlays = typed "overlays" [ ] isList "a list of files";
  locks = typed "locks" [ ] isList "a list of files";
  path = typed "path" [ ] isList "a list of packages";
  settings = typed "settings" { } isAttrs "a set: what stands in nix.conf";
  attributes = typed "attributes" { } isAttrs "a set: more attributes of the derivation";
  system =
    args.system or builtins.currentSystem
      or (fail "'system' is missing, and in pure evaluation there is no default for it");
  shell = if args ? shell then "${input "shell" args.shell}/bin/sh" else "/bin/sh";

  isPath = value: typeOf value == "path";
  isInStore = text: dirOf text == builtins.storeDir;
  # An input of the derivation, as text with its context: what is not one is not there inside.
  input =
    what: value:
    if isFunction value then
      fail "${what} is a function, which cannot be handed to another evaluation: write it to a file and give that"
    else if isPath value then
      # Not copied a second time, where it can be told.
      if isInStore (toString value) && builtins ? currentSystem then
        builtins.storePath value
      else
        "${value}"
    else if isAttrs value && value ? outPath then
      "${value}"
    else if isString value && hasContext value then
      value
    else if isString value && isInStore value && builtins ? currentSystem then
      builtins.storePath value
    else if isString value then
      fail "${what} is the string '${value}', which is no store path: give a path (./file) or a package"
    else
      fail "${what} is of type ${typeOf value}, and has to be a path or a package";
  inputs =
    what: values: genList (i: input "${what}[${toString i}]" (builtins.elemAt values i)) (length values);

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
    "[\n" + concatStringsSep "" (map (each: "  (import ${each})\n") (inputs "overlays" overlays)) + "]"
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

  settingText =
    settingName:
    let
      value = settings.${settingName};
    in
    if isList value && !(any (each: !(isString each)) value) then
      concatStringsSep " " value
    else if isString value then
      value
    else if typeOf value == "int" then
      toString value
    else if value == true then
      "true"
    else if value == false then
      "false"
    else
      fail "settings.${settingName} is of type ${typeOf value}, and has to be a string, a number, a boolean or a list of strings";
  settingLines = concatStringsSep "" (map (each: "${each} = ${settingText each}\n") (attrNames settings));

  nixPath =
    (if args ? nixpkgs then [ "nixpkgs=${input "nixpkgs" args.nixpkgs}" ] else [ ])
    ++ (if overlays == [ ] then [ ] else [ "nixpkgs-overlays=${overlayFile}" ]);
  features = attributes.requiredSystemFeatures or [ ];
in
assert complete;
derivation (
  {
    inherit name system script;
    builder = shell;
    args = [
      "-euc"
      ''. /nix/var/airlock/env; . "$scriptPath"''
    ];
    passAsFile = [ "script" ];
    PATH = concatStringsSep ":" (
      map (each: "${each}/bin") (
        inputs "path" path ++ [ (input "nix" args.nix) ] ++ (if args ? shell then [ (input "shell" args.shell) ] else [ ])
      )
    );
  }
  // (if nixPath == [ ] then { } else { airlockNixPath = nixPath; })
  // (if settings == { } then { } else { airlockNixConfig = settingLines; })
  // (if locks == [ ] then { } else { airlockLocks = inputs "locks" locks; })
  // (if args ? config then { NIXPKGS_CONFIG = configFile; } else { })
  // attributes
  // {
    requiredSystemFeatures = features ++ (if elem "airlock" features then [ ] else [ "airlock" ]);
  }
)
