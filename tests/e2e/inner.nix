# What the tests build inside a sandbox. Store paths come in as text, by --argstr.
{ name, script, shell, dependency ? "", nix ? "", features ? "", innerNix ? "" }:
let path = text: if text == "" then "" else builtins.storePath text;
in derivation {
  inherit name;
  system = builtins.currentSystem;
  builder = "${path shell}/bin/sh";
  args = [ "-euc" script ];
  PATH = "${path shell}/bin" + (if nix == "" then "" else ":${path nix}/bin");
  shell = path shell;
  nix = path nix;
  innerNix = path innerNix;
  dependency = path dependency;
  requiredSystemFeatures = if features == "" then [ ] else [ features ];
}
