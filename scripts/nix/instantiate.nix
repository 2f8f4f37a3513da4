# An evaluation as a derivation: its output lists the derivations that the expression evaluates to, and refers to them.
#   instantiate { inherit nix; file = ./packages.nix; nixPath = [ "nixpkgs=${nixpkgs}" ]; attrs = [ "hello" ]; }
# It is what airlock's nix-instantiate makes for the same call inside a build, so both share a result, if what is named
# here are plain store paths (sources, builtins.storePath), not outputs that still have to be built. See
# docs/evaluation.md.
{ nix # bin/nix-instantiate
, file ? null # the expression: a file, or
, expr ? null # its text
, attrs ? [ ] # attributes of it, as -A
, args ? { } # strings are passed as strings, { expr = "…"; } as expressions
, nixPath ? [ ] # [ "nixpkgs=${…}" ]
, settings ? { } # lines of nix.conf: airlockNixConfig
, locks ? [ ] # lock files: airlockLocks
, system ? builtins.currentSystem
, name ? "evaluation"
}:
let
  common = import ./evaluator-words.nix;
  checked = import ./inputs.nix (sentence: throw "airlock's instantiate: ${sentence}");
in
derivation ({
  inherit name system;
  builder = "/nix/var/airlock/bin/airlock";
  args = [ "evaluate" "${nix}/bin/nix-instantiate" ] ++ common.words { inherit file expr attrs args; };
  requiredSystemFeatures = [ "airlock" ];
} // (if nixPath == [ ] then { } else { airlockNixPath = nixPath; })
  // (if settings == { } then { } else { airlockNixConfig = checked.settings "settings" settings; })
  // (if locks == [ ] then { } else { airlockLocks = checked.inputs "locks" locks; }))
