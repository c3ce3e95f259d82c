#include "harness/journal/journal.h"
