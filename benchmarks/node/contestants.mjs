// Node's libraries, each as its documentation shows, in a process that stays up for the whole run.
//
// One JSON object per line on stdin, one per line back. The first line brings {issuer, audience, jwks}; the answer says
// which contestants there are, and for which algorithms. Each further line is a batch: {contestant, alg, tokens, other,
// known, passes}; the answer is {accepted, nanoseconds}. `other` is a good token that is not in the batch:
// a validator is new in each batch, and has its key from there.

import crypto from "node:crypto";
import readline from "node:readline";

const DIGESTS = { RS256: "sha256", PS256: "sha256", ES256: "sha256", EdDSA: null };
const ALL = Object.keys(DIGESTS);

let asked;

const publicKey = (alg) => crypto.createPublicKey({ key: asked.jwks.keys.find((jwk) => jwk.alg === alg), format: "jwk" });

// Each: the algorithms it knows, and a function from algorithm to a check that throws for a bad token.
const contestants = {};

// What Node itself needs for a signature, its input and its bytes being ready: the floor of all others here.
contestants["crypto.verify"] = {
  algorithms: ALL,
  prepare(token) {
    const [header, payload, signature] = token.split(".");
    return [Buffer.from(`${header}.${payload}`), Buffer.from(signature, "base64url")];
  },
  make(alg) {
    const key = { key: publicKey(alg), dsaEncoding: "ieee-p1363" };
    if (alg === "PS256") Object.assign(key, { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 });
    return ([signed, signature]) => {
      if (!crypto.verify(DIGESTS[alg], signed, key, signature)) throw new Error("bad signature");
    };
  },
};

async function optional(load, add) {
  try {
    add(await load());
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  }
}

await optional(
  () => import("fast-jwt"),
  ({ createVerifier }) => {
    for (const [name, cache] of [["fast-jwt", false], ["fast-jwt, cache on", true]]) {
      contestants[name] = {
        algorithms: ALL,
        make: (alg) =>
          createVerifier({
            key: publicKey(alg).export({ type: "spki", format: "pem" }),
            algorithms: [alg],
            allowedIss: asked.issuer,
            allowedAud: asked.audience,
            requiredClaims: ["exp"],
            cache,
          }),
      };
    }
  },
);

await optional(
  () => import("jose"),
  ({ createLocalJWKSet, jwtVerify }) => {
    contestants.jose = {
      algorithms: ALL,
      asynchronous: true,
      make(alg) {
        const keys = createLocalJWKSet(asked.jwks);
        const options = {
          issuer: asked.issuer,
          audience: asked.audience,
          algorithms: [alg],
          requiredClaims: ["exp"],
        };
        return (token) => jwtVerify(token, keys, options);
      },
    };
  },
);

await optional(
  () => import("aws-jwt-verify"),
  ({ JwtVerifier }) => {
    contestants["aws-jwt-verify"] = {
      algorithms: ["RS256", "ES256", "EdDSA"],
      make() {
        const jwksUri = `${asked.issuer}/jwks`;
        const verifier = JwtVerifier.create({ issuer: asked.issuer, audience: asked.audience, jwksUri });
        verifier.cacheJwks(asked.jwks);
        return (token) => verifier.verifySync(token);
      },
    };
  },
);

function timed(check, tokens, passes) {
  let accepted = 0;
  const began = process.hrtime.bigint();
  for (let pass = 0; pass < passes; pass++) {
    for (const token of tokens) {
      try {
        check(token);
        accepted++;
      } catch {}
    }
  }
  return { accepted, nanoseconds: Number(process.hrtime.bigint() - began) };
}

async function timedAsync(check, tokens, passes) {
  let accepted = 0;
  const began = process.hrtime.bigint();
  for (let pass = 0; pass < passes; pass++) {
    for (const token of tokens) {
      try {
        await check(token);
        accepted++;
      } catch {}
    }
  }
  return { accepted, nanoseconds: Number(process.hrtime.bigint() - began) };
}

async function run({ contestant, alg, tokens, other, known, passes }) {
  const { make, asynchronous, prepare = (token) => token } = contestants[contestant];
  const time = asynchronous ? timedAsync : timed;
  const check = make(alg);
  const prepared = tokens.map(prepare);
  await check(prepare(other));
  if (known) await time(check, prepared, 1);
  globalThis.gc?.();
  return time(check, prepared, passes);
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  let answer;
  if (asked === undefined) {
    asked = message;
    answer = Object.fromEntries(Object.entries(contestants).map(([name, { algorithms }]) => [name, algorithms]));
  } else {
    answer = await run(message);
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
