# A derivation whose outputs are what another derivation, which is only known once it is evaluated inside, builds:
#   returning { name = "hello"; inherit nix; shell = "${bash}/bin/bash"; file = ./continuation.nix; args.pkgs = …; }
# The expression is a function of `name`, and of what `args` holds; the derivation it gives carries that name, so that
# references to itself can be rewritten to this one's. See docs/evaluation.md.
{ name
, nix # bin/nix-instantiate
, shell # a program: sh
, file ? null # the expression: a file, or
, expr ? null # its text
, args ? { } # strings are passed as strings, { expr = "…"; } as expressions
, nixPath ? [ ] # [ "nixpkgs=${…}" ]
, outputs ? [ "out" ] # those of the continuation as well
, inputs ? [ ] # what else the expression names
, system ? builtins.currentSystem
}:
let
  common = import ./evaluator-words.nix;
in
derivation ({
  inherit name outputs system inputs;
  builder = shell;
  args = [
    "-euc"
    ''
      . /nix/var/airlock/env
      drv=$(/nix/var/airlock/bin/nix-instantiate "$@")
      exec /nix/var/airlock/bin/airlock return "$drv"
    ''
    "returning"
  ] ++ common.words { inherit file expr; args = { inherit name; } // args; };
  PATH = "${nix}/bin";
  requiredSystemFeatures = [ "airlock" ];
} // (if nixPath == [ ] then { } else { airlockNixPath = nixPath; }))
