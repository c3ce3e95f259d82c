#include "harness/journal/workspace_lock.h"
