#include "harness/editor/document.h"
