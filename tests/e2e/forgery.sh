#!/usr/bin/env bash
# What a build sends under a path's name is believed only when it is that path's content, and the
# answer does not tell whether the host has the path.
. "$(dirname "$0")/lib.sh"

raw=$(nix-store --add "$AIRLOCK_RAW_CLIENT")
echo "secret of the host" >secret
hidden=$(nix-store --add secret)
hidden_address=fixed:r:sha256:$(nix-store --dump "$hidden" | sha256sum | cut -d' ' -f1)
# The same address, of content that nobody has: the path is made by a store of its own.
echo "nobody has this" >secret
absent=$(NIX_REMOTE='' nix-store --store "$work/other" --add secret 2>/dev/null) || absent=$(nix-store --add secret)
absent_address=fixed:r:sha256:$(nix-store --dump secret | sha256sum | cut -d' ' -f1)
nix-store --delete "$absent" >/dev/null 2>&1 || true
[ ! -e "$absent" ] || fail "$absent is there"

# A derivation's text whose output is the hidden path.
mkdir texts
printf 'Derive([("out","%s","","")],[],["%s"],"x86_64-linux","%s/bin/sh",["-c","true"],[("out","%s")])' \
  "$hidden" "$AIRLOCK_SHELL" "$AIRLOCK_SHELL" "$hidden" >texts/output
nix-store --dump texts/output >texts/output.nar

outer forges "raw = builtins.storePath $raw; texts = ./texts;
  hidden = builtins.unsafeDiscardStringContext \"$hidden\"; absent = \"$absent\";
  hiddenAddress = \"$hidden_address\"; absentAddress = \"$absent_address\";" <<'SCRIPT'
hex() { sha256sum | cut -d' ' -f1; }
echo "== another text under an honest derivation's path"
honest=$(instantiate honest 'echo honest >$out')
address=text:sha256:$(hex <$honest)
if said=$($raw archive $honest $address $texts/output.nar $(hex <$texts/output.nar) $(nix-store -q --references $honest)); then
  die "the forged text was believed: $said"
fi
echo "refused: $said"
nix-store -r $honest >/dev/null
[ ! -e $hidden ] || die "the hidden path was granted"

echo "== junk under a known content address, of a path that the host has and of one it has not"
echo junk >junk
nix-store --dump junk >junk.nar
for path in hidden absent; do
  eval "this=\$$path address=\$${path}Address"
  if said=$($raw archive $this $address junk.nar $(hex <junk.nar)); then die "junk was taken for $this"; fi
  echo "$said" | sed "s|$this|PATH|" >said.$path
  [ ! -e $this ] || die "$this was granted"
done
cat said.hidden
cmp said.hidden said.absent || die "the answers differ: $(cat said.hidden said.absent)"

echo "== what it is, under its own name, is taken"
$raw archive $(nix-store --add junk) fixed:r:sha256:$(hex <junk.nar) junk.nar $(hex <junk.nar) >/dev/null || die "the honest archive was refused"
echo done >$out
SCRIPT
equal "the build" done "$(cat "$(build forges)")"
grep -E '^(==|refused|error)' forges.log
lacks "the log" "secret of" "$(cat forges.log)"
# Nor is anything left at the host's end, under a name that a path of the host's may have one day.
[ ! -e "$absent" ] || fail "the junk is left as $absent"
store_is_clean
