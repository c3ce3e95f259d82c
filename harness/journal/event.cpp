#include "harness/journal/event.h"
