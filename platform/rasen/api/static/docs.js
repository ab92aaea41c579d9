// Shows the OpenAPI document of the control API in Swagger UI; nobody else is asked to validate it.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0, // the schemas stand with their routes; their list begins folded
  persistAuthorization: false, // a token is not for the browser's storage
  tryItOutEnabled: true,
  validatorUrl: null,
});
