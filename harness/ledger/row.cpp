#include "harness/ledger/row.h"
