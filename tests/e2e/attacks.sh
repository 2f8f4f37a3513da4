#!/usr/bin/env bash
# What no Nix client would send: each refused, by its rule, and the store as it was; the harmless twin of each is taken.
. "$(dirname "$0")/lib.sh"

attack=$(nix-store --add "$AIRLOCK_ATTACK_CLIENT")
raw=$(nix-store --add "$AIRLOCK_RAW_CLIENT")
echo "secret of the host" >secret
hidden=$(nix-store --add secret)
echo "known to the build" >known
visible=$(nix-store --add known)
mkdir nars
python3 "$tests/hostile_nars.py" nars

step "derivations made by the host, handed over as files"
mkdir made
# make NAME ATTRIBUTES SCRIPT: a derivation's path
make() {
  cat >"$1.nix" <<NIX
let shell = builtins.storePath "$AIRLOCK_SHELL"; in derivation ({
  name = "$1"; system = builtins.currentSystem; builder = "\${shell}/bin/sh"; args = [ "-c" "$3" ];
} // { $2 })
NIX
  nix-instantiate "$1.nix" ${4-} 2>/dev/null
}
plain=$(make plain '' 'echo plain >\$out')
nochroot=$(make nochroot '__noChroot = true;' 'echo >\$out')
uses_hidden=$(make uses-hidden "input = builtins.storePath $hidden;" 'echo >\$out')
settings=$(make settings '' 'ls / >\$out; [ ! -e /usr ]')
# As a client sends it to BuildDerivation: FILE TRANSFORMATION-OF-ITS-LINES
python3 - "$plain" >made/plain <<'PY'
import re, sys
text = open(sys.argv[1]).read()
def strings(part): return re.findall(r'"((?:[^"\\]|\\.)*)"', part)
outputs, drvs, sources, rest = re.match(r'Derive\(\[(.*?)\],\[(.*?)\],\[(.*?)\],(.*)\)$', text, re.S).groups()
o = strings(outputs)
for i in range(0, len(o), 4): print("output", *o[i:i + 4])
for s in strings(sources): print("source", s)
platform, builder = strings(rest)[:2]
args, env = re.match(r'"[^"]*","[^"]*",\[(.*?)\],\[(.*)\]$', rest, re.S).groups()
print("platform", platform); print("builder", builder)
for a in strings(args): print("arg", a.replace('\\"', '"'))
e = strings(env)
for i in range(0, len(e), 2): print("env", e[i], e[i + 1].replace('\\"', '"'))
PY
sed "s,^output out [^ ]*,output out /nix/store/00000000000000000000000000000000-invented," made/plain >made/invented
sed 's/^arg echo plain.*/arg cat \/etc\/shadow/' made/plain >made/other-args
sed -e 's/("out","[^"]*","","")/("out","","r:sha256","impure")/' -e 's/("out","\/nix[^"]*")/("out","")/' "$plain" >made/impure
plain_out=$(nix-store -q --outputs "$plain")
for drv in "$uses_hidden" "$nochroot"; do nix-store --dump "$drv" >"made/$(basename "$drv").nar"; cp "$drv" made/; done

# The same names as Nix gives them: fixed:r:sha256 of each archive.
store_state() {
  find /nix/store -mindepth 1 -maxdepth 1 ! -name '*.lock' ! -name '*.chroot' ! -name .links -printf '%f\n' | grep -v -e "-$1\$" -e "-$1.drv\$" | sort
  sqlite3 "file:$state/db/db.sqlite?mode=ro" "select path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca from ValidPaths where path not like '%-$1' and path not like '%-$1.drv' order by path;
    select a.path, b.path from Refs join ValidPaths a on a.id = referrer join ValidPaths b on b.id = reference where a.path not like '%-$1' and a.path not like '%-$1.drv' order by 1, 2;
    select v.path, o.id, o.path from DerivationOutputs o join ValidPaths v on v.id = o.drv where v.path not like '%-$1.drv' order by 1, 2"
}
# Paths and their content addresses, of what the host has and of what nobody has.
address_of() { echo "fixed:r:sha256:$(nix-store --dump "$1" | sha256sum | cut -d' ' -f1)"; }
echo "nobody has this" >nobody
absent=$(NIX_REMOTE='' nix-store --store "$work/elsewhere" --add nobody)
[ ! -e "$absent" ] || fail "$absent is there"
attributes="attack = builtins.storePath $attack; raw = builtins.storePath $raw;
  absent = \"$absent\"; absentAddress = \"$(address_of nobody)\"; hiddenAddress = \"$(address_of secret)\"; knownAddress = \"$(address_of known)\";
  nars = ./nars; made = ./made; known = builtins.storePath $visible;
  plain = builtins.storePath $plain; settings = builtins.storePath $settings; hidden = builtins.unsafeDiscardStringContext \"$hidden\";
  plainOut = builtins.unsafeDiscardStringContext \"$plain_out\"; usesHidden = \"$(basename "$uses_hidden")\"; nochroot = \"$(basename "$nochroot")\";"
helpers='
hex() { sha256sum | cut -d" " -f1; }
# refused RULE COMMAND...: an error that names the rule
refused() {
  rule=$1; shift
  status=0
  said=$("$@" 2>&1) || status=$?
  [ $status = 1 ] || die "status $status, not refused: $*: $said"
  case $said in *"($rule)"*) ;; *) die "not by $rule: $*: $said" ;; esac
  echo "refused ($rule): $*" >&2
}
# ended COMMAND...: the connection is over
ended() {
  status=0
  said=$("$@" 2>&1) || status=$?
  [ $status = 2 ] || { [ $status = 1 ] && case $said in *"ended the connection"*) true ;; *) false ;; esac; } || die "status $status, not ended: $*: $said"
  echo "ended: $*: $(echo "$said" | tail -n 1)" >&2
}
taken() { said=$("$@" 2>&1) || die "the twin was refused: $*: $said"; echo "taken: $*" >&2; }
'

step "attacks"
outer attacks "$attributes" <<SCRIPT
$helpers
zeros=00000000000000000000000000000000
# adding with a hidden reference, in every form and several protocols
echo text >text
for protocol in 1.21 1.23 1.25 1.30 1.38; do
  export AIRLOCK_PROTOCOL=\$protocol
  refused references-visible \$attack text name text \$hidden
  refused derivation-inputs \$attack text \$(echo \$usesHidden | cut -c34-) \$made/\$usesHidden \$known
done
unset AIRLOCK_PROTOCOL
refused references-visible \$attack source name fixed:r:sha256 \$nars/sound \$hidden
# a NAR that is not what its path says
sound=fixed:r:sha256:\$(hex <\$nars/sound)
refused add-content-addressed \$attack nar /nix/store/\$zeros-name \$sound \$nars/sound \$(hex <\$nars/sound) checked
for path in known hidden absent; do
  eval "this=\\\$\$path address=\\\$\${path}Address"
  for how in nar multiple; do
    for flag in checked unchecked; do
      refused add-content-addressed \$attack \$how \$this \$address \$nars/sound \$(hex <\$nars/sound) \$flag
    done
  done
  for protocol in 1.21 1.23 1.26 1.30; do
    AIRLOCK_PROTOCOL=\$protocol refused add-content-addressed \$attack nar \$this \$address \$nars/sound \$(hex <\$nars/sound) checked
  done
done
# under the name of a plain file what has its content, and is something else
flat=fixed:sha256:\$(printf content | hex)
plainFile=\$(nix-store --print-fixed-path sha256 \$(printf content | hex) name)
for nar in executable symlink folder; do
  for how in nar multiple; do refused add-content-addressed \$attack \$how \$plainFile \$flat \$nars/\$nar \$(hex <\$nars/\$nar) checked; done
  for protocol in 1.21 1.23; do
    AIRLOCK_PROTOCOL=\$protocol refused add-content-addressed \$attack nar \$plainFile \$flat \$nars/\$nar \$(hex <\$nars/\$nar) checked
  done
done
# unsigned and input-addressed, checks waived or not, alone or in a list
for how in nar multiple; do
  for flag in checked unchecked; do
    refused add-content-addressed \$attack \$how /nix/store/\$zeros-name '' \$nars/sound \$(hex <\$nars/sound) \$flag
  done
  refused no-repair \$attack \$how /nix/store/\$zeros-name \$sound \$nars/sound \$(hex <\$nars/sound) repair
done
for protocol in 1.21 1.22 1.23; do
  AIRLOCK_PROTOCOL=\$protocol refused add-content-addressed \$attack nar /nix/store/\$zeros-name '' \$nars/sound \$(hex <\$nars/sound) unchecked
done
# a derivation sent whole, with other outputs or another builder than its file says
refused derivation-as-stored \$attack derivation \$plain \$made/invented
refused derivation-as-stored \$attack derivation \$plain \$made/other-args
for protocol in 1.21 1.26 1.30 1.37; do
  AIRLOCK_PROTOCOL=\$protocol refused derivation-as-stored \$attack derivation \$plain \$made/invented
done
# out of the sandbox
drv=\$(\$attack source \$(echo \$nochroot | cut -c34-) text:sha256 \$made/\$nochroot \$shell) || die "\$drv"
refused stay-in-sandbox \$attack targets 0 "\$drv!*"
# a derivation by another hash than Nix gives it
for method in fixed:md5 fixed:sha1 fixed:sha256 fixed:r:sha256; do
  refused derivation-is-text \$attack source \$(echo \$nochroot | cut -c34-) \$method \$made/\$nochroot
done
AIRLOCK_PROTOCOL=1.21 refused derivation-is-text \$attack source \$(echo \$nochroot | cut -c34-) fixed:sha1 \$made/\$nochroot.nar
refused stay-in-sandbox \$attack source impure.drv text:sha256 \$made/impure \$shell
# modes
refused build-mode \$attack targets 1 "\$plain!*"
refused build-mode \$attack targets 2 "\$plain!*"
# hidden paths
refused path-visible \$attack targets 0 "\$hidden"
refused path-visible \$attack targets 0 "/nix/store/\$usesHidden!*"
refused path-visible \$attack targets 0 "/nix/store/\$usesHidden!out!out"
refused no-dynamic-derivations \$attack targets 0 "\$plain!out!out"
for protocol in 1.21 1.26 1.30; do
  export AIRLOCK_PROTOCOL=\$protocol
  refused stay-in-sandbox \$attack targets 0 "\$drv!out"
  for mode in 1 2; do refused build-mode \$attack targets \$mode "\$plain!out"; done
  refused path-visible \$attack targets 0 "\$hidden"
  refused path-visible \$attack targets 0 "/nix/store/\$usesHidden!out"
  refused path-visible \$raw question 38 \$hidden
done
unset AIRLOCK_PROTOCOL
refused path-visible \$raw question 38 \$hidden
refused path-visible \$raw question 38 \$absent
# archives
for nar in slash dotdot dot nul empty duplicate order deep padding truncated; do
  ended \$attack source name fixed:r:sha256 \$nars/\$nar
  # Cut short with nothing around it, it is only waited for.
  [ \$nar = truncated ] || AIRLOCK_PROTOCOL=1.21 ended \$attack source name fixed:r:sha256 \$nars/\$nar
  # Under a name that passes: it is the archive itself that ends the connection.
  for how in nar multiple; do ended \$attack \$how \$absent \$absentAddress \$nars/\$nar \$(hex <\$nars/\$nar) checked; done
  for protocol in 1.21 1.23; do
    AIRLOCK_PROTOCOL=\$protocol ended \$attack nar \$absent \$absentAddress \$nars/\$nar \$(hex <\$nars/\$nar) checked
  done
done
for operation in CollectGarbage FindRoots AddPermRoot AddSignatures VerifyStore OptimiseStore RegisterDrvOutput AddBuildLog; do
  refused never \$attack never \$operation \$known
done
AIRLOCK_PROTOCOL=1.27 refused never \$attack never RegisterDrvOutput \$known
for protocol in 1.21 1.38; do AIRLOCK_PROTOCOL=\$protocol refused add-content-addressed \$attack never ImportPaths \$known; done
echo attacked >\$out
SCRIPT
drv=$(nix-instantiate attacks.nix 2>/dev/null)
before=$(store_state attacks)
out=$(build attacks)
equal "the build went on" attacked "$(cat "$out")"
[ "$(store_state attacks)" = "$before" ] || fail "the store changed: $(diff <(echo "$before") <(store_state attacks))"
# Each has its row.
equal "refusals in the ledger" "$(grep -c '^refused' attacks.log)" "$(query "select count(*) from operations where verdict = 'deny'")"
ended=$(query "select reason from operations where verdict = 'broken' and rule = 'well-formed'")
equal "ended connections in the ledger" "$(grep -c '^ended' attacks.log)" "$(wc -l <<<"$ended")"
sort <<<"$ended" | uniq -c
for reason in "'a/b' cannot be" "'..' cannot be" "'.' cannot be" "'' cannot be" "out of order" "nested too deeply" "padding is not zero"; do
  contains "reasons" "$reason" "$ended"
done
denied=$(query "select distinct rule from operations where verdict = 'deny' order by rule" | tr '\n' ' ')
echo "rules in the ledger: $denied"
for rule in references-visible derivation-inputs derivation-is-text add-content-addressed no-repair derivation-as-stored stay-in-sandbox build-mode path-visible no-dynamic-derivations never; do
  contains "ledger" "$rule" "$denied"
done

step "their harmless twins"
outer twins "$attributes" <<SCRIPT
$helpers
echo text >text
for protocol in 1.21 1.23 1.25 1.30 1.38; do
  export AIRLOCK_PROTOCOL=\$protocol
  taken \$attack text twin-\$protocol text \$known
  taken \$attack source sound-\$protocol fixed:r:sha256 \$nars/sound
done
unset AIRLOCK_PROTOCOL
sound=\$(\$attack source sound-1.38 fixed:r:sha256 \$nars/sound)
address=fixed:r:sha256:\$(hex <\$nars/sound)
for how in nar multiple; do
  for flag in checked unchecked; do taken \$attack \$how \$sound \$address \$nars/sound \$(hex <\$nars/sound) \$flag; done
done
for protocol in 1.21 1.22 1.23; do
  AIRLOCK_PROTOCOL=\$protocol taken \$attack nar \$sound \$address \$nars/sound \$(hex <\$nars/sound) checked
done
# A plain file by its content. Clients of old send a flat file as it is on their disk, and its bit is not taken.
flat=fixed:sha256:\$(printf content | hex)
plainFile=\$(nix-store --print-fixed-path sha256 \$(printf content | hex) name)
AIRLOCK_PROTOCOL=1.21 taken \$attack source name fixed:sha256 \$nars/executable
[ "\$(cat \$plainFile)" = content ] && [ ! -x \$plainFile ] || die "\$(ls -l \$plainFile)"
for protocol in 1.21 1.23 1.38; do
  AIRLOCK_PROTOCOL=\$protocol taken \$attack nar \$plainFile \$flat \$nars/plain \$(hex <\$nars/plain) checked
done
taken \$attack multiple \$plainFile \$flat \$nars/plain \$(hex <\$nars/plain) checked
# Under the name of what is there, what is there.
nix-store --dump \$known >known.nar
for protocol in 1.21 1.23 1.26 1.30 1.38; do
  AIRLOCK_PROTOCOL=\$protocol taken \$attack nar \$known \$knownAddress known.nar \$(hex <known.nar) checked
  AIRLOCK_PROTOCOL=\$protocol taken \$raw question 38 \$known
done
taken \$attack multiple \$known \$knownAddress known.nar \$(hex <known.nar) unchecked
for protocol in 1.21 1.26 1.30 1.37; do AIRLOCK_PROTOCOL=\$protocol taken \$attack derivation \$plain \$made/plain; done
taken \$attack derivation \$plain \$made/plain
[ "\$(cat \$plainOut)" = plain ] || die "the plain derivation"
for protocol in 1.21 1.29 1.30; do AIRLOCK_PROTOCOL=\$protocol taken \$attack targets 0 "\$plain!out"; done
# settings: answered, told, and without effect
said=\$(\$attack options \$settings sandbox=false extra-sandbox-paths=/usr post-build-hook=/bin/false pre-build-hook=/bin/false \\
  builders='ssh://nowhere' substituters=http://127.0.0.1:1/ trusted-public-keys=x timeout=60) || die "options: \$said"
echo "\$said" >&2
for name in sandbox extra-sandbox-paths post-build-hook pre-build-hook builders substituters trusted-public-keys; do
  case \$said in *"airlock ignores"*\$name*) ;; *) die "nothing is said of \$name: \$said" ;; esac
done
said=\$(\$attack options \$settings timeout=60 cores=2) || die "options: \$said"
case \$said in *"airlock ignores"*) die "harmless settings: \$said" ;; esac
cat \$(nix-store -q --outputs \$settings) >\$out
SCRIPT
out=$(build twins)
lacks "the root folder of an inner build" usr "$(cat "$out")"
grep -c '^taken' twins.log
contains "the ledger" restricted-settings "$(query "select distinct rule from operations where operation = 'SetOptions'")"
store_is_clean
