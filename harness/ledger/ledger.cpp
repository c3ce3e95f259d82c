#include "harness/ledger/ledger.h"
