// Command libcni-gc calls the plugins of a network with GC, and with the list of attachments that are valid, as
// containerd and CRI-O do. cnitool passes no list.
//
//	libcni-gc CONFLIST CACHEDIR '[{"containerID": "ctr-0", "ifname": "net1"}]'
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"
)

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: libcni-gc CONFLIST CACHEDIR VALID-ATTACHMENTS")
	}
	list, err := libcni.NetworkConfFromFile(args[0])
	if err != nil {
		return err
	}
	var gc libcni.GCArgs
	if err := json.Unmarshal([]byte(args[2]), &gc.ValidAttachments); err != nil {
		return fmt.Errorf("valid attachments: %w", err)
	}
	cni := libcni.NewCNIConfigWithCacheDir(filepath.SplitList(os.Getenv("CNI_PATH")), args[1], nil)
	return cni.GCNetworkList(context.Background(), list, &gc)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
