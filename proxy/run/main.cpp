#include "proxy/run/commands.h"
#include "proxy/run/left_behind.h"

#include <unistd.h>

int main(int argc, char** argv) {
    const int code = nearhop::run::command_line(argc, argv);
    if (nearhop::run::any_left_behind()) ::_exit(code);
    return code;
}
