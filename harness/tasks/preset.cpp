#include "harness/tasks/preset.h"
