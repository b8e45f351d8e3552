package main

import "github.com/tallygate/tallygate/api"

type openapiCmd struct {
	YAML bool `name:"yaml" help:"Print it as YAML."`
}

func (openapiCmd) Help() string {
	return "Prints the description of the API, an OpenAPI 3.1 document, as a server shows it on /openapi.json. It calls no server.\n\n" +
		"Examples:\n\n" +
		"    tallygate openapi > openapi.json\n" +
		"    tallygate openapi --yaml > openapi.yaml\n"
}

func (c *openapiCmd) Run(a *app) error {
	description, err := api.Description("")
	if err != nil {
		return err
	}
	document := description.JSON()
	if c.YAML {
		if document, err = description.YAML(); err != nil {
			return err
		}
	}
	_, err = a.stdout.Write(document)
	return err
}
