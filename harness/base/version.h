// The project's version, for --version, the ledger and the header of events.jsonl.
#pragma once

namespace bitloop {

const char* version();   // "0.1.0"
const char* git_hash();  // the commit it was built from, 12 digits, or "unknown"

}  // namespace bitloop
