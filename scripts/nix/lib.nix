# What makes recursion convenient: plain Nix, from 2.3 on, without nixpkgs. Documented in docs/recursive.md.
let
  # Parts that stand in files of their own; each is a function that says in its head what it takes.
  part =
    name: file:
    if builtins.pathExists file then { ${name} = import file; } else { };
in
{
  recursive = import ./recursive.nix;
}
// part "instantiate" ./instantiate.nix
// part "returning" ./returning.nix
