#include "harness/editor/edits.h"
