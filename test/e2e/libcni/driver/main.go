// Command libcni-driver calls CNI plugins the way container runtimes and Multus do: through libcni.
//
//	libcni-driver -conflist FILE -cache DIR [-id ID -netns PATH -ifname NAME] [-args JSON] [-capabilities JSON] VERB
//
// VERB is add, check, del, validate or version. CNI_PATH names the folders of the plugins. What the plugins answered
// goes to stdout as JSON; an error goes to stderr with the plugin's code, and the exit code is 1.
//
// It keeps to what libcni 1.1 already had, so that it builds against the package of every Debian since 12.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

type options struct {
	conflist, cache         string
	id, netns, ifName       string
	cniArgs, capabilityArgs string
	verb                    string
}

func parseOptions() (options, error) {
	var o options
	flag.StringVar(&o.conflist, "conflist", "", "the network configuration list")
	flag.StringVar(&o.cache, "cache", "", "where libcni keeps the results of ADD for CHECK and DEL")
	flag.StringVar(&o.id, "id", "", "container ID")
	flag.StringVar(&o.netns, "netns", "", "path of the container's network namespace")
	flag.StringVar(&o.ifName, "ifname", "net1", "name of the interface in the container")
	flag.StringVar(&o.cniArgs, "args", "", `CNI_ARGS, as [["KEY", "value"]]`)
	flag.StringVar(&o.capabilityArgs, "capabilities", "", `capability arguments, as {"ips": ["10.0.0.7"]}`)
	flag.Parse()
	o.verb = flag.Arg(0)
	// Without its own directory libcni would use the machine's, where a real runtime may keep its results.
	if o.conflist == "" || o.cache == "" || flag.NArg() != 1 {
		return o, errors.New("usage: libcni-driver -conflist FILE -cache DIR [flags] add|check|del|validate|version")
	}
	return o, nil
}

func (o options) runtimeConf() (*libcni.RuntimeConf, error) {
	rt := &libcni.RuntimeConf{ContainerID: o.id, NetNS: o.netns, IfName: o.ifName}
	if o.cniArgs != "" {
		if err := json.Unmarshal([]byte(o.cniArgs), &rt.Args); err != nil {
			return nil, fmt.Errorf("-args: %w", err)
		}
	}
	if o.capabilityArgs != "" {
		if err := json.Unmarshal([]byte(o.capabilityArgs), &rt.CapabilityArgs); err != nil {
			return nil, fmt.Errorf("-capabilities: %w", err)
		}
	}
	return rt, nil
}

// supportedVersions asks every plugin of the list with VERSION.
func supportedVersions(ctx context.Context, cni *libcni.CNIConfig, list *libcni.NetworkConfigList) (map[string][]string, error) {
	versions := map[string][]string{}
	for _, plugin := range list.Plugins {
		info, err := cni.GetVersionInfo(ctx, plugin.Network.Type)
		if err != nil {
			return nil, err
		}
		versions[plugin.Network.Type] = info.SupportedVersions()
	}
	return versions, nil
}

// run calls the plugins and returns what is to be printed; nil is nothing.
func run(o options) (interface{}, error) {
	list, err := libcni.ConfListFromFile(o.conflist)
	if err != nil {
		return nil, err
	}
	rt, err := o.runtimeConf()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	cni := libcni.NewCNIConfigWithCacheDir(filepath.SplitList(os.Getenv("CNI_PATH")), o.cache, nil)
	switch o.verb {
	case "add":
		// Not returned as it is: a nil Result in an interface{} would not compare equal to nil.
		result, err := cni.AddNetworkList(ctx, list, rt)
		if err != nil {
			return nil, err
		}
		return result, nil
	case "check":
		return nil, cni.CheckNetworkList(ctx, list, rt)
	case "del":
		return nil, cni.DelNetworkList(ctx, list, rt)
	case "validate":
		// The capabilities come out of a map, in another order each time.
		capabilities, err := cni.ValidateNetworkList(ctx, list)
		sort.Strings(capabilities)
		return capabilities, err
	case "version":
		return supportedVersions(ctx, cni, list)
	}
	return nil, fmt.Errorf("unknown verb %q", o.verb)
}

// describe gives a plugin's error its code, which the text of libcni's error leaves out.
func describe(err error) string {
	var fromPlugin *types.Error
	if errors.As(err, &fromPlugin) {
		return fmt.Sprintf("code %d: %v", fromPlugin.Code, err)
	}
	return err.Error()
}

func main() {
	o, err := parseOptions()
	var answer interface{}
	if err == nil {
		answer, err = run(o)
	}
	if err == nil && answer != nil {
		err = json.NewEncoder(os.Stdout).Encode(answer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, describe(err))
		os.Exit(1)
	}
}
