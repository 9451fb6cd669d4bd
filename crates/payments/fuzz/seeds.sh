#!/bin/sh
# Writes seeds: `seeds/normalize` are the fixtures, one byte for the provider before each body; `seeds/verify` are
# requests whose headers have the right names and forms.
set -eu
cd "$(dirname "$0")"
mkdir -p seeds/normalize seeds/verify
index=0
for provider in stripe adyen checkout canonical; do
  find "../fixtures/$provider" -name '*.json' ! -name vectors.json | while read -r body; do
    name=$(printf %s "$body" | tr -c 'a-zA-Z0-9\n' '-')
    { printf "\\$(printf %03o "$index")"; cat "$body"; } > "seeds/normalize/$name"
  done
  index=$((index + 1))
done

hex=$(printf 'a%.0s' $(seq 64))
base64=$(printf 'A%.0s' $(seq 43))=
printf '\000stripe-signature t=1795316520,v1=%s,v0=%s\n\n{}' "$hex" "$hex" > seeds/verify/stripe
printf '\001hmacsignature %s\n\n{}' "$base64" > seeds/verify/adyen-header
printf '\001\n{"live":"true","notificationItems":[{"NotificationRequestItem":{"pspReference":"A","amount":{"value":1,"currency":"EUR"},"success":"true","additionalData":{"hmacSignature":"%s"}}}]}' "$base64" > seeds/verify/adyen-item
printf '\002cko-signature %s\n\n{}' "$hex" > seeds/verify/checkout
printf '\003webhook-id m\nwebhook-timestamp 1795316520\nwebhook-signature v1,%s v1a,%s\n\n{}' "$base64" "$base64" > seeds/verify/canonical
